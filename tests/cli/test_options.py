"""`options` as a whole command on a fake kernel."""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from tcptool.actions.options import ALL, survey_options
from tcptool.catalog import diag
from tcptool.catalog.options import BY_NAME, SocketOption
from tcptool.errors import ExitCode
from tcptool.views.look import Look
from tcptool.views.terminal import options as terminal
from tests.cli.scene import integer, run
from tests.support.fake_kernel import FakeDescriptor, FakeKernel
from tests.support.golden import Golden

KEEP = {(1, 9): integer(0), (6, 4): integer(7200), (6, 5): integer(75), (6, 6): integer(9)}
LIMITS = {(6, 4): (1, 32767), (6, 5): (1, 100), (6, 6): (1, 127), (6, 45): (4001, 200_000)}


class Refusing(FakeKernel):
    """A kernel with ranges and rights, and without IPv6 if ``has_ipv6`` is False."""

    has_ipv6 = True

    @contextmanager
    def fresh_socket(
        self, family: int, protocol: int = diag.IPPROTO_TCP
    ) -> Iterator[FakeDescriptor]:
        if family == diag.AF_INET6 and not self.has_ipv6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        with FakeKernel.fresh_socket(self, family, protocol) as fresh:
            fresh.on_set = _check
            yield fresh


def _check(level: int, number: int, value: bytes) -> None:
    if (level, number) == (1, 12) and struct.unpack("=i", value)[0] > 6:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    if (level, number) == (6, 13) and value.startswith(b"bbr"):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    lowest, highest = LIMITS.get((level, number), (-(1 << 63), 1 << 63))
    if len(value) == 4 and not lowest <= struct.unpack("=i", value)[0] <= highest:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@pytest.fixture
def kernel(tmp_path: Path) -> Refusing:
    made = Refusing(tmp_path)
    made.tree.write("sys/net/ipv4/tcp_available_congestion_control", "reno cubic bbr\n")
    made.fresh_options |= {
        **KEEP,
        (1, 7): integer(16_384),
        (1, 12): integer(0),
        (1, 13): struct.pack("=ii", 0, 0),
        (1, 36): integer(0),
        (1, 70): integer(8),  # to be set, not to be read
        (1, 72): integer(0),
        (1, 73): integer(0),
        (1, 76): errno.EOPNOTSUPP,
        (6, 1): integer(0),
        (6, 13): b"cubic".ljust(16, b"\0"),
        (6, 24): integer(123),
        (6, 45): integer(200_000),
        (0, 1): integer(0),
        (0, 14): errno.ENOTCONN,
        (41, 67): integer(0),
    }
    return made


def names(outcome_lines: str) -> list[str]:
    return [line.split()[0] for line in outcome_lines.splitlines()[1:]]


def test_a_table_of_all_options(kernel: Refusing, golden: Golden) -> None:
    outcome = run(kernel, "options")
    assert (outcome.status, outcome.err) == (0, "")
    assert names(outcome.out) == [option.name for option in ALL]
    cells = {len(line.split()) for line in outcome.out.splitlines()}
    assert cells == {10}  # every cell is one word
    some = ("option ", "SO_SNDBUF ", "SO_PRIORITY", "SO_LINGER", "SO_PASSPIDFD", "TCP_", "IPV6_T")
    lines = [line for line in outcome.out.splitlines() if line.startswith(some)]
    golden("options/table.txt", "\n".join(lines) + "\n")


def test_named_options_are_shown_in_full(kernel: Refusing, golden: Golden) -> None:
    words = [
        "SO_SNDBUF",
        "priority",
        "Tcp-Rto-Min",
        "SO_PASSPIDFD",
        "SO_ERROR",
        "so_type",
        "tos",
        "busy_poll_b",
    ]
    outcome = run(kernel, "options", *words, env={"COLUMNS": "80"})
    assert (outcome.status, outcome.err) == (0, "")
    golden("options/in_full.txt", outcome.out)


def test_json(kernel: Refusing) -> None:
    document = run(kernel, "options", "--json").document
    assert document["schema"] == "tcptool.options/1"
    found = {one["name"]: one for one in document["data"]}
    assert list(found) == [option.name for option in ALL]
    priority = found["SO_PRIORITY"]
    assert (priority["lowest"], priority["highest"], priority["range_from"]) == (0, 6, "tried")
    assert priority["may_set"] is False
    assert priority["tried"][-1]["error"] == "EPERM"
    assert found["TCP_CONGESTION"]["choices"] == ["reno", "cubic"]
    assert found["TCP_KEEPINTVL"]["highest"] == 100  # less than the table says
    assert found["SO_PASSPIDFD"]["available"] is False
    assert found["SO_PASSPIDFD"]["error"] == "EOPNOTSUPP"
    assert found["IP_MTU"]["available"] is True  # ENOTCONN is no lack
    assert found["SO_BUSY_POLL_BUDGET"]["highest"] == 65535
    assert found["SO_RCVBUFFORCE"]["available"] is False  # tried, and not there
    assert found["SO_RCVBUFFORCE"]["error"] == "ENOPROTOOPT"
    assert found["TCP_FASTOPEN_KEY"]["available"] is None  # never asked
    assert found["TCP_TIMESTAMP"]["default_ipv4"] is None  # a clock has no default
    assert found["IPV6_TCLASS"]["default_ipv4"] is None
    assert found["IPV6_TCLASS"]["default_ipv6"] == 0
    assert found["IP_TOS"]["default_ipv6"] is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["keep"], ["SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"]),
        (["keep", "nodelay"], None),
        (["tcp_keepi"], ["TCP_KEEPIDLE", "TCP_KEEPINTVL"]),
        (["so_type", "so_do", "--settable"], ["SO_DONTROUTE"]),
        (["ip_t"], ["IP_TOS", "IP_TTL", "IP_TRANSPARENT"]),
        (["ip_t", "--risk", "refuse"], ["IP_TRANSPARENT"]),
        (["BACKLOG"], ["backlog"]),
    ],
)
def test_which_options(kernel: Refusing, words: list[str], expected: list[str] | None) -> None:
    document = run(kernel, "options", *words, "--json").document
    found = [one["name"] for one in document["data"]]
    if expected is None:
        expected = ["SO_KEEPALIVE", "TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"]
    assert found == expected


def test_filters_without_names(kernel: Refusing) -> None:
    safe = names(run(kernel, "options", "--settable", "--risk", "safe").out)
    wanted = [o.name for o in ALL if o.settable and o.risk.value == "safe"]
    assert safe == wanted
    assert "TCP_NODELAY" in safe


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nodelaj"], ExitCode.NOT_FOUND, "did you mean NODELAY"),
        (["nodelay", "nonsense"], ExitCode.NOT_FOUND, "looking for option 'nonsense'"),
        ([""], ExitCode.NOT_FOUND, "none of that name"),
        (["so_type", "--settable"], ExitCode.NOT_FOUND, "none has all that was asked for"),
        (["--risk", "none"], ExitCode.USAGE, "safe"),
        (["--netns", "nowhere"], ExitCode.NOT_FOUND, "nowhere"),
    ],
)
def test_what_does_not_exist(kernel: Refusing, words: list[str], status: int, said: str) -> None:
    outcome = run(kernel, "options", *words)
    assert outcome.status == status
    assert outcome.out == ""
    assert said in outcome.err


def test_an_error_in_json_is_one_line(kernel: Refusing) -> None:
    outcome = run(kernel, "options", "nodelaj", "--json")
    assert outcome.out == ""
    assert json.loads(outcome.err)["error"]["code"] == "not_found"


def test_another_network_namespace(kernel: Refusing, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Refusing(tmp_path / "other")
    other.fresh_options |= {(1, 7): integer(87_040)}
    kernel.namespaces["blue"] = other
    document = run(kernel, "options", "sndbuf", "--netns", "blue", "--json").document
    sndbuf = next(one for one in document["data"] if one["name"] == "SO_SNDBUF")
    assert sndbuf["default_ipv4"] == 87_040


def test_a_host_without_ipv6_says_so(kernel: Refusing) -> None:
    kernel.has_ipv6 = False
    outcome = run(kernel, "options")
    assert "not shown: what IPv6 sockets do" in outcome.err
    assert "EAFNOSUPPORT" in outcome.err
    assert run(kernel, "options", "-q").err == ""
    document = json.loads(run(kernel, "options", "tclass", "--json").out)
    assert document["data"][0]["available"] is None
    assert document["missing"][0]["needs"] == "a kernel with IPv6"
    assert run(kernel, "options", "nodelay", "--quiet").err == ""


def test_no_list_of_algorithms_is_no_error(kernel: Refusing) -> None:
    (kernel.tree.root / "sys/net/ipv4/tcp_available_congestion_control").unlink()
    document = run(kernel, "options", "congestion", "--json").document
    assert (document["data"][0]["choices"], document["data"][0]["default_ipv4"]) == ([], "cubic")


def on_terminal(kernel: Refusing, options: Sequence[SocketOption], look: Look) -> list[str]:
    out = StringIO()
    terminal.write(survey_options(kernel, options), out, look)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 140, 300])
def test_on_a_terminal_columns_give_way(kernel: Refusing, width: int) -> None:
    heading, *lines = on_terminal(kernel, ALL, Look(width=width, color=True))
    footer = lines.pop() if width < 140 else ""
    assert heading.startswith("\x1b[1moption ")
    assert lines.pop() == f"{len(ALL)} options; `tcptool options NAME` shows one in full"
    assert ("no room for needs" in footer) == (width < 140)
    assert ("range" in footer) == (width < 80)
    assert max(map(len, lines)) <= max(width, 80)


def test_a_terminal_shows_units_and_cuts_long_cells(kernel: Refusing) -> None:
    options = [BY_NAME[name] for name in ("SO_SNDBUF", "SO_LINGER", "TCP_RTO_MIN_US")]
    look = Look(width=300)
    _, sndbuf, linger, rto, footer = on_terminal(kernel, options, look)
    assert "  16384 B  " in sndbuf
    assert "  4608..425984 B  " in sndbuf
    assert "  enabled=n…  " in linger
    assert "  200000 µs  " in rto
    assert footer.startswith("3 options; ")
    _, _, linger, rto, _ = on_terminal(kernel, options, replace(look, unicode=False))
    assert "  enabled...  " in linger
    assert "  200000 us  " in rto
    assert on_terminal(kernel, options[:1], look)[-1].startswith("1 option; ")
