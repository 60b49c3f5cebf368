"""`tcptool apply` on a fake kernel: what is set, what is said, what is remembered, the status."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tcptool.catalog.profiles import BY_NAME as PROFILES
from tcptool.cli.session import Session
from tcptool.errors import ExitCode
from tcptool.linux.journal import Journal, open_journal
from tcptool.model.journal import JournalEntry
from tests.cli.scene import Outcome, integer, run, web_server
from tests.live.test_schema import strict
from tests.support.fake_kernel import FakeDescriptor, descriptor_for, diag_message, tcp_info_bytes
from tests.support.golden import Golden

ROOT = Path(__file__).resolve().parents[2]
NETNS = struct.pack("=Q", 1)
HEADINGS = ["socket", "option", "before", "requested", "effective", "outcome", "note"]
MORE: dict[tuple[int, int], bytes | int] = {
    (1, 71): NETNS,
    (1, 2): integer(0),
    (1, 8): integer(131_072),
    (1, 12): integer(0),
    (1, 15): integer(0),
    (6, 3): integer(0),
    (6, 5): integer(75),
    (6, 6): integer(9),
    (6, 10): integer(65_536),
    (6, 12): integer(1),
    (6, 13): b"cubic".ljust(16, b"\0"),
    (6, 18): integer(0),
    (0, 1): integer(0),
}
"""What the sockets of the scene have beside its own options."""


class Scene:
    """The web server, a private journal, and what was set on which of its sockets."""

    def __init__(self, root: Path) -> None:
        self.kernel = web_server(root / "kernel")
        self.kernel.tree.write("sys/kernel/random/boot_id", "b00t\n")
        self.kernel.tree.write("sys/net/core/somaxconn", "4096\n")
        self.kernel.fresh_options |= {**MORE, (6, 11): tcp_info_bytes(state="close")}
        for descriptor in self.kernel.descriptors.values():
            descriptor.options |= {key: MORE[key] for key in MORE if key not in descriptor.options}
        self.connection = self.kernel.descriptors[42, 9]
        self.listener = self.kernel.descriptors[42, 6]
        self.over_ipv6 = self.kernel.descriptors[42, 11]
        self.over_ipv6.options |= {(6, 1): integer(0), (6, 4): integer(7200)}
        self.state = root / "state"
        self.path = self.state / "tcptool" / "journal"

    def run(self, *words: object, command: str = "apply") -> Outcome:
        return run(self.kernel, command, *words, env={"XDG_STATE_HOME": str(self.state)})

    def entries(self) -> list[JournalEntry]:
        with open_journal(self.kernel, str(self.path), read_only=True) as journal:
            return list(journal.entries())

    @property
    def writes(self) -> list[tuple[int, int, bytes]]:
        """Everything that was set on any socket of the server."""
        sockets = {id(one): one for one in self.kernel.descriptors.values()}
        return [write for one in sockets.values() for write in one.writes]

    def untouched(self, outcome: Outcome, status: int, *said: str) -> None:
        """Check that it was refused: nothing on stdout, nothing set, nothing remembered."""
        assert (outcome.status, outcome.out) == (status, ""), outcome
        for text in said:
            assert text in outcome.err
        assert self.writes == []
        assert not self.path.exists() or self.entries() == []


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Scene(tmp_path)


def rows(outcome: Outcome) -> list[list[str]]:
    heading, *lines = outcome.out.splitlines()
    assert heading.split() == HEADINGS
    return [line.split(None, 6) for line in lines]


def failing(descriptor: FakeDescriptor, number: int, *, only: int | None = None) -> None:
    """Let setsockopt() fail with this errno, for one option or for all."""

    def refuse(_level: int, option: int, _value: bytes) -> None:
        if only in (None, option):
            raise OSError(number, os.strerror(number))

    descriptor.on_set = refuse


def test_rows_say_what_was_what_was_asked_and_what_is(scene: Scene) -> None:
    outcome = scene.run("42:9", "nodelay=off", "SO_SNDBUF=100K", "keepidle=2h", "-q")
    assert (outcome.status, outcome.err) == (0, "")
    assert rows(outcome) == [
        ["42:9", "TCP_NODELAY", "yes", "no", "no", "set", "-"],
        ["42:9", "SO_SNDBUF", "425984", "102400", "204800", "doubled",
         "the kernel doubles it, to pay for its bookkeeping"],
        ["42:9", "TCP_KEEPIDLE", "7200", "7200", "7200", "unchanged", "-"],
    ]  # fmt: skip
    assert scene.connection.writes == [
        (6, 1, integer(0)), (1, 7, integer(102_400)), (6, 4, integer(7200)),
    ]  # fmt: skip
    assert scene.listener.writes == []


def test_a_limit_is_named(scene: Scene) -> None:
    data = scene.run("42:9", "sndbuf=1M", "--json").document["data"]
    (change,) = data["sockets"][0]["changes"]
    assert (change["effective"], change["outcome"]) == (425_984, "clamped")
    assert change["clamped_by"] == "net.core.wmem_max"


def test_json_is_as_its_schema_says(scene: Scene) -> None:
    document = scene.run("42:9", "nodelay=0", "keepidle=60s", "linger=on:5s", "--json")
    assert document.status == ExitCode.UNSUPPORTED  # the fake kernel has no SO_LINGER
    made = json.loads(document.out)
    schema = json.loads((ROOT / "tcptool/schemas/apply.json").read_text())
    Draft202012Validator(strict(schema)).validate(made)
    assert made["schema"] == "tcptool.apply/1"
    data = made["data"]
    assert (data["action"], data["dry_run"], data["complete"]) == ("apply", False, True)
    assert data["undo_id"] == scene.entries()[0].id
    assert data["agrees"] is False
    (sock,) = data["sockets"]
    assert (sock["name"], sock["cookie"], sock["netns_cookie"]) == ("42:9", "1001", "1")
    nodelay, keepidle, linger = sock["changes"]
    assert [nodelay[key] for key in ("before", "requested", "effective")] == [True, False, False]
    assert (keepidle["requested"], keepidle["unit"]) == (60, "s")
    assert (linger["before"], linger["effective"]) == (None, None)
    assert linger["requested"] == {"enabled": True, "seconds": 5}
    assert linger["outcome"] == "unsupported"


def test_text_in_a_pipe(scene: Scene, golden: Golden) -> None:
    outcome = scene.run(42, "nodelay=0", "rcvbuf=1M", "IP_TOS=ef", "--yes", "--listeners")
    golden("apply/plain.txt", outcome.out + "--- stderr\n" + outcome.err)


def test_text_for_people(scene: Scene, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    words = ("42:9", "keepidle=60s", "rcvbuf=100K", "cork=1", "user-timeout=30s", "nodelay=1")
    outcome = scene.run(*words)
    said = outcome.out + "--- stderr\n" + outcome.err
    golden("apply/people.txt", said.replace(scene.entries()[0].id, "ID"))
    golden("apply/own.txt", scene.run("rcvbuf=1M", "TCP_DEFER_ACCEPT=5", "keepcnt=3").out)


def test_the_order_is_the_one_that_works(scene: Scene) -> None:
    given = ("SO_BUF_LOCK=none", "SO_PRIORITY=3", "keepalive=1", "rcvbuf=64K", "tos=ef",
             "keepidle=60", "nodelay=1", "cork=1")  # fmt: skip
    outcome = scene.run("42:9", *given)
    order = [row[1] for row in rows(outcome)]
    assert sorted(order) == sorted({row[1] for row in rows(outcome)})
    for first, then in (
        ("SO_RCVBUF", "SO_BUF_LOCK"), ("IP_TOS", "SO_PRIORITY"), ("TCP_KEEPIDLE", "SO_KEEPALIVE"),
        ("TCP_CORK", "TCP_NODELAY"),
    ):  # fmt: skip
        assert order.index(first) < order.index(then)


# -- what is remembered --------------------------------------------------------------------


def test_the_plan_is_on_disk_before_the_first_change(scene: Scene) -> None:
    seen: list[JournalEntry] = []

    def look(*_: object) -> None:
        with open(scene.path) as file:
            lines = [json.loads(line) for line in file]
        assert lines, "nothing was written down"
        seen.extend([] if seen else scene.entries())

    scene.connection.on_set = look
    outcome = scene.run("42:9", "nodelay=0", "sndbuf=100K")
    assert outcome.status == 0
    (planned,) = seen[0].sockets
    assert [one.option for one in planned.planned] == ["TCP_NODELAY", "SO_SNDBUF"]
    assert planned.planned[0].before == integer(1)
    assert planned.planned[1].kept.keys() >= {"SO_BUF_LOCK"}
    assert (planned.identity.pid, planned.identity.fd) == (42, 9)
    assert (planned.identity.inode, planned.identity.cookie) == (701, "1001")
    assert planned.identity.netns_cookie == "1"


def test_undo_puts_it_back(scene: Scene) -> None:
    before = dict(scene.connection.options)
    assert scene.run("42:9", "nodelay=0", "rcvbuf=64K", "--also-clamp", "keepidle=9").status == 0
    assert scene.connection.options != before
    assert scene.run("--last", command="undo").status == 0
    assert scene.connection.options == before


def test_a_refused_option_is_remembered_as_such(scene: Scene) -> None:
    failing(scene.connection, errno.EINVAL, only=4)
    outcome = scene.run("42:9", "keepidle=60", "nodelay=0")
    assert outcome.status == ExitCode.FAILED
    scene.connection.on_set = None
    undone = scene.run("--last", command="undo")
    assert undone.status == 0
    assert {row[1]: row[5] for row in rows(undone)} == {
        "TCP_NODELAY": "restored",
        "TCP_KEEPIDLE": "already",
    }


@pytest.mark.parametrize("how", ["link", "file", "writable"])
def test_without_a_journal_nothing_is_changed(scene: Scene, how: str) -> None:
    if how == "link":
        scene.path.parent.mkdir(parents=True)
        scene.path.symlink_to("/dev/null")
    elif how == "file":
        scene.state.write_text("")
    else:
        scene.path.parent.mkdir(parents=True)
        scene.path.touch(0o600)
        scene.path.chmod(0o666)
    outcome = scene.run("42:9", "nodelay=0")
    assert outcome.status in (ExitCode.NOT_PERMITTED, ExitCode.FAILED)
    assert outcome.out == ""
    assert "Nothing was changed." in outcome.err
    assert scene.writes == []


# -- what would be done --------------------------------------------------------------------


def test_a_dry_run_sets_and_remembers_nothing(scene: Scene) -> None:
    data = scene.run(
        "42:9", "nodelay=0", "sndbuf=1M", "quickack=1", "--dry-run", "--json"
    ).document["data"]
    assert (data["dry_run"], data["undo_id"], data["agrees"]) == (True, None, True)
    changes = data["sockets"][0]["changes"]
    assert {change["outcome"] for change in changes} == {"planned"}
    assert [change["effective"] for change in changes] == [None] * 3
    assert changes[0]["note"] == ""
    assert changes[1]["note"].startswith("will read 425984: net.core.wmem_max cuts 1048576")
    assert changes[2]["note"].startswith("will hold until")
    assert scene.writes == []
    assert not scene.state.exists()


def test_a_dry_run_of_many_asks_nobody(scene: Scene) -> None:
    outcome = scene.run(42, "nodelay=0", "-n", "--max", 1)
    assert (outcome.status, len(rows(outcome))) == (0, 2)
    assert scene.writes == []


# -- several sockets -----------------------------------------------------------------------


def test_several_sockets_are_changed_only_if_somebody_agrees(scene: Scene) -> None:
    outcome = scene.run(42, "nodelay=0")
    scene.untouched(outcome, ExitCode.USAGE, "changing 2 sockets", "--yes", "Nothing was changed.")
    outcome = scene.run(42, "nodelay=0", "--yes", "--max", 1)
    scene.untouched(outcome, ExitCode.USAGE, "more than 1", "--max 2")
    outcome = scene.run(42, "nodelay=0", "--yes", "--max", 2)
    assert outcome.status == 0
    assert {row[0] for row in rows(outcome)} == {"42:9", "42:11"}
    assert len(scene.entries()[0].sockets) == 2


class Terminal(io.StringIO):
    """A standard input of somebody who can be asked."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [(b"y\n", True), (b" YES\n", True), (b"n\n", False), (b"\n", False), (b"", False)],
)
def test_somebody_is_asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, answer: bytes, agreed: bool
) -> None:
    from tcptool.cli.apply import _confirm
    from tcptool.errors import UsageError

    asked, said = os.pipe()
    os.write(said, answer)
    os.close(said)
    with open(asked) as stdin, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", _Answering(stdin.fileno()))
        patch.setattr("sys.stderr", screen := Terminal())
        if agreed:
            _confirm(2, 1000, yes=False, what="nodelay=1 on api\n")
        else:
            with pytest.raises(UsageError, match="you did not agree"):
                _confirm(2, 1000, yes=False, what="nodelay=1 on api\n")
    assert screen.getvalue() == "nodelay=1 on api\\n: 2 sockets. Go on? [y/N] "
    assert scene.writes == []


class _Answering(Terminal):
    """Standard input that is a terminal by its word, and a pipe by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


def test_sockets_stand_in_the_order_of_process_and_descriptor(scene: Scene) -> None:
    scene.kernel.sockets.reverse()
    outcome = scene.run(42, "nodelay=0", "--yes", "--listeners")
    assert [row[0] for row in rows(outcome)] == ["42:6", "42:9", "42:11"]


def test_listeners_are_left_out_among_others(scene: Scene) -> None:
    outcome = scene.run("sport = :443", "nodelay=0", "--yes")
    assert {row[0] for row in rows(outcome)} == {"42:9", "42:11"}
    assert "1 socket left out because it listens; --listeners takes it too" in outcome.err
    outcome = scene.run("sport = :443", "nodelay=1", "--yes", "--listeners")
    assert len(rows(outcome)) == 3
    outcome = scene.run("state listening and sport = :443", "backlog=128")
    assert [row[1:6] for row in rows(outcome)] == [["backlog", "511", "128", "128", "set"]]


def test_several_listeners_are_counted(scene: Scene) -> None:
    second = diag_message("listen", local=("127.0.0.1", 443), inode=777, cookie=0x1010)
    scene.kernel.sockets.append(second)
    outcome = scene.run("sport = :443", "nodelay=0", "-n")
    assert "2 sockets left out because they listen; --listeners takes them too" in outcome.err


def test_a_backlog_is_cut_to_the_sysctl(scene: Scene) -> None:
    (row,) = rows(scene.run("42:6", "backlog=70000"))
    assert row[1:] == ["backlog", "511", "70000", "4096", "clamped",
                       "net.core.somaxconn cuts 70000 to 4096"]  # fmt: skip
    assert "does not listen" in scene.run("42:9", "backlog=5").out


def test_what_a_listener_passes_on_is_said(scene: Scene) -> None:
    data = scene.run("42:6", "nodelay=0", "--json").document["data"]
    assert "inherit TCP_NODELAY" in data["sockets"][0]["advice"][0]


def test_a_socket_that_goes_meanwhile(scene: Scene) -> None:
    """It was listed, but closed before its turn came: it is counted, the others are changed."""
    del scene.kernel.descriptors[42, 11]
    outcome = scene.run(42, "nodelay=0", "--yes")
    assert outcome.status == ExitCode.OK
    assert {row[0]: row[5] for row in rows(outcome)} == {"42:9": "set"}
    assert "1 socket could not be reached any more" in outcome.err
    assert len(scene.entries()[0].sockets) == 1


def test_a_socket_that_closes_between_two_options(scene: Scene) -> None:
    def close(*_: object) -> None:
        scene.kernel.ticks += 1  # the slice is over: it must borrow again
        scene.kernel.descriptors.pop((42, 9), None)

    scene.connection.on_set = close
    outcome = scene.run("42:9", "nodelay=0", "keepidle=60")
    assert outcome.status == ExitCode.FAILED
    assert [row[5] for row in rows(outcome)] == ["set", "not-tried"]


def test_ctrl_c_between_two_sockets(scene: Scene) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    first, second = (scene.connection, scene.over_ipv6)
    second.on_set = interrupt
    first.on_set = interrupt
    outcome = scene.run(42, "nodelay=0", "--yes", "--json")
    assert outcome.status == ExitCode.INTERRUPTED
    data = json.loads(outcome.out)["data"]
    assert (data["complete"], data["agrees"]) == (False, False)
    outcomes = [sock["changes"][0] for sock in data["sockets"]]
    assert {(one["outcome"], one["note"]) for one in outcomes} == {("not-tried", "interrupted")}
    assert data["undo_id"] is None  # nothing was set


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], ExitCode.USAGE, "neither NAME=VALUE nor --profile was given"),
        (["42:9"], ExitCode.USAGE, "neither NAME=VALUE nor --profile was given"),
        (["42:9", "nodelaj=1"], ExitCode.USAGE, "did you mean"),
        (["42:9", "nodelay=2"], ExitCode.USAGE, "Accepted: 1, on, yes, true"),
        (["42:9", "nodelay=1", "TCP_NODELAY=1"], ExitCode.USAGE, "TCP_NODELAY is given 2 times"),
        (["42:9", "nodelay=1", "-6"], ExitCode.USAGE, "--ipv6 with a TARGET"),
        (["42:9", "SO_TYPE=stream"], ExitCode.USAGE, "can only be read"),
        (["42:9", "TCP_REPAIR=1"], ExitCode.USAGE, "dangerous on a socket in use"),
        (["42:9", "TCP_ULP=tls", "--force"], ExitCode.USAGE, "--force does not allow it either"),
        (["42:9", "SO_RCVLOWAT=5"], ExitCode.USAGE, "--force sets it all the same"),
        (["42:9", "nodelay=1", "--profile", "rcp"], ExitCode.NOT_FOUND, "did you mean rpc"),
        (["42:9", "--max", "0", "nodelay=1"], ExitCode.USAGE, "--max"),
        (["42:77", "nodelay=0"], ExitCode.NOT_FOUND, "no such descriptor"),
        (["77:1", "nodelay=0"], ExitCode.NOT_FOUND, "77"),
        (["sport = :1", "nodelay=0"], ExitCode.NOT_FOUND, "no TCP socket matches"),
        (["state time-wait", "nodelay=0"], ExitCode.NOT_FOUND, "it has no options"),
    ],
)  # fmt: skip
def test_refusals_change_nothing(scene: Scene, words: list[str], status: int, said: str) -> None:
    scene.untouched(scene.run(*words), status, said)


def test_an_error_in_json_is_one_line(scene: Scene) -> None:
    outcome = scene.run("42:9", "TCP_REPAIR=1", "--json")
    scene.untouched(outcome, ExitCode.USAGE)
    error = json.loads(outcome.err)["error"]
    assert (error["code"], error["exit_code"]) == ("refused", 2)
    assert "Nothing was changed." in error["hint"]


def test_force_sets_what_can_be_undone(scene: Scene) -> None:
    scene.connection.options[1, 18] = integer(1)
    assert scene.run("42:9", "SO_RCVLOWAT=5", "--force").status == 0
    assert scene.connection.options[1, 18] == integer(5)


@pytest.mark.parametrize(
    ("number", "word", "status"),
    [
        (errno.EPERM, "not-permitted", ExitCode.NOT_PERMITTED),
        (errno.EACCES, "not-permitted", ExitCode.NOT_PERMITTED),
        (errno.EINVAL, "refused", ExitCode.FAILED),
        (errno.ENOPROTOOPT, "unsupported", ExitCode.UNSUPPORTED),
        (errno.EOPNOTSUPP, "unsupported", ExitCode.UNSUPPORTED),
        (errno.ENOMEM, "failed", ExitCode.FAILED),
    ],
)
def test_what_the_kernel_refuses(scene: Scene, number: int, word: str, status: int) -> None:
    failing(scene.connection, number)
    outcome = scene.run("42:9", "SO_PRIORITY=7", "keepidle=60")
    assert outcome.status == status
    assert [row[5] for row in rows(outcome)] == [word, word]
    assert all(len(row) == 7 and row[6] != "-" for row in rows(outcome))


def test_a_missing_right_is_named(scene: Scene) -> None:
    failing(scene.connection, errno.EPERM, only=12)
    (row,) = rows(scene.run("42:9", "SO_PRIORITY=7"))
    assert "CAP_NET_" in row[6]


def test_two_different_reasons_are_a_failure(scene: Scene) -> None:
    failing(scene.connection, errno.EPERM, only=12)
    outcome = scene.run("42:9", "SO_PRIORITY=7", "linger=off", "nodelay=0")
    assert outcome.status == ExitCode.FAILED
    assert [row[5] for row in rows(outcome)] == ["not-permitted", "unsupported", "set"]


def test_without_the_right_to_borrow(scene: Scene) -> None:
    scene.kernel.refusals[42] = errno.EPERM
    scene.untouched(scene.run("42:9", "nodelay=0"), ExitCode.NOT_PERMITTED, "EPERM")
    scene.kernel.refusals[42] = errno.ENOSYS
    scene.untouched(scene.run("42:9", "nodelay=0"), ExitCode.UNSUPPORTED, "ENOSYS")


def test_another_holder_lends_it(scene: Scene) -> None:
    scene.kernel.refusals[42] = errno.EPERM
    outcome = scene.run("state listening and sport = :443", "nodelay=0")
    assert outcome.status == 0
    assert scene.listener.options[6, 1] == integer(0)


def test_a_socket_that_nobody_holds(scene: Scene) -> None:
    waiting = diag_message(
        local=("192.0.2.10", 443), peer=("198.51.100.9", 1), inode=888, cookie=0x1020
    )
    scene.kernel.sockets.append(waiting)
    scene.untouched(
        scene.run("dport = :1", "nodelay=0"), ExitCode.NOT_FOUND, "no process holds the socket"
    )
    outcome = scene.run("dst 198.51.100.0/24", "nodelay=0", "-n")
    assert [row[0] for row in rows(outcome)] == ["42:9"]
    assert "left out" in outcome.err


# -- memory --------------------------------------------------------------------------------


SOCKSTAT = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 8 mem 90\n"


def test_buffers_that_tcp_has_no_memory_for(scene: Scene) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    scene.connection.most_buffer_bytes = 1 << 30
    scene.kernel.tree.write("sys/net/core/wmem_max", f"{1 << 30}\n")
    scene.kernel.tree.write("sys/net/ipv4/tcp_mem", "50 100 150\n")
    scene.kernel.tree.write("thread-self/net/sockstat", SOCKSTAT)
    outcome = scene.run("42:9", f"sndbuf={100 * page}")
    scene.untouched(outcome, ExitCode.USAGE, "net.ipv4.tcp_mem[1]", "--force overrides this")
    dry = scene.run("42:9", f"sndbuf={100 * page}", "-n")
    scene.untouched(dry, ExitCode.USAGE, "net.ipv4.tcp_mem[1]")
    # Less than there is now needs no memory, and of an unknown limit nothing can be said.
    assert scene.run("42:9", "sndbuf=4K").status == 0
    assert scene.run("42:9", f"sndbuf={100 * page}", "--force").status == 0
    (scene.kernel.tree.root / "thread-self/net/sockstat").unlink()
    assert scene.run("42:9", f"sndbuf={200 * page}").status == 0


def test_buffers_that_fit(scene: Scene) -> None:
    scene.kernel.tree.write("sys/net/ipv4/tcp_mem", "50 1000000 1000000\n")
    scene.kernel.tree.write("thread-self/net/sockstat", SOCKSTAT)
    assert scene.run("42:9", "sndbuf=1M", "rcvbuf=-1").status == 0


# -- profiles ------------------------------------------------------------------------------


def test_a_profile_and_a_value_that_replaces_one_of_its(scene: Scene) -> None:
    outcome = scene.run("42:9", "--profile", "guide", "keepidle=9", "cork=off", "-n")
    asked = {row[1]: row[3] for row in rows(outcome)}
    assert asked.keys() == {v.option for v in PROFILES["guide"].values}
    assert (asked["TCP_KEEPIDLE"], asked["TCP_CORK"], asked["SO_SNDBUF"]) == ("9", "no", "1048576")


def test_the_problems_of_a_profile_are_said(scene: Scene) -> None:
    outcome = scene.run("42:9", "--profile", "guide", "-n", "--json")
    warnings = [
        one
        for one in outcome.document["warnings"]
        if one["id"] not in ("risk", "conflict", "memory_unknown")
    ]
    flags = PROFILES["guide"].flags
    assert [(one["id"], one["message"]) for one in warnings] == [(f.id, f.text) for f in flags]
    said = scene.run("42:9", "--profile", "guide", "-n").err
    assert all(flag.text in said for flag in flags)
    assert scene.run("42:9", "--profile", "guide", "-n", "-q").err == ""


def test_what_contradicts_itself_is_said(scene: Scene) -> None:
    outcome = scene.run("42:9", "nodelay=1", "cork=1")
    assert "TCP_NODELAY and TCP_CORK: the cork wins" in outcome.err
    assert outcome.status == 0


def test_a_profile_of_the_user(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nsummary = "x"\n[options]\nTCP_NODELAY = false\n')
    outcome = scene.run("42:9", "--profile", file)
    assert [row[1:6] for row in rows(outcome)] == [["TCP_NODELAY", "yes", "no", "no", "set"]]


def test_risks_are_said_once(scene: Scene) -> None:
    outcome = scene.run(42, "keepidle=60", "--yes")
    assert outcome.err.count("TCP_KEEPIDLE: It needs SO_KEEPALIVE.") == 1


# -- sockets of our own --------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--ipv6"]])
def test_without_a_target_own_sockets_are_tried(scene: Scene, words: list[str]) -> None:
    outcome = scene.run("nodelay=1", "rcvbuf=4K", *words)
    assert outcome.status == 0
    assert [row[0] for row in rows(outcome)] == [
        "fresh", "fresh", "listening", "listening", "connected", "connected",
    ]  # fmt: skip
    assert [row[2:6] for row in rows(outcome)[:2]] == [
        ["no", "yes", "yes", "set"],
        ["131072", "4096", "8192", "doubled"],
    ]
    assert scene.writes == []
    assert not scene.state.exists()
    assert scene.kernel.borrows == []


def test_own_sockets_dry(scene: Scene) -> None:
    data = scene.run("nodelay=1", "-n", "--json").document["data"]
    assert {sock["changes"][0]["outcome"] for sock in data["sockets"]} == {"planned"}
    assert [sock["holders"] for sock in data["sockets"]] == [[], [], []]


# -- other things --------------------------------------------------------------------------


def test_another_network_namespace(scene: Scene, tmp_path: Path) -> None:
    other = Scene(tmp_path / "other")
    scene.kernel.namespaces["blue"] = other.kernel
    outcome = scene.run("sport = :443", "nodelay=0", "--netns", "blue", "--yes")
    assert outcome.status == 0
    assert scene.writes == []
    assert other.connection.options[6, 1] == integer(0)


def test_a_buffer_that_only_can_be_set_shows_the_one_that_it_sets(scene: Scene) -> None:
    (row,) = rows(scene.run("42:9", "SO_RCVBUFFORCE=1M", "-q"))
    assert row[1:6] == ["SO_RCVBUFFORCE", "131072", "1048576", "2097152", "doubled"]
    assert scene.run("--last", command="undo").status == 0
    assert scene.connection.options[1, 8] == integer(131_072)


def test_also_clamp_raises_the_window_too(scene: Scene) -> None:
    outcome = scene.run("42:9", "rcvbuf=100K", "--also-clamp", "--json").document
    changes = outcome["data"]["sockets"][0]["changes"]
    assert [(one["option"], one["requested"]) for one in changes] == [
        ("SO_RCVBUF", 102_400),
        ("TCP_WINDOW_CLAMP", 204_800),
    ]
    alone = scene.run("42:9", "nodelay=1", "--also-clamp")
    assert (alone.status, "goes with a receive buffer" in alone.err) == (ExitCode.USAGE, True)
    both = scene.run("42:9", "rcvbuf=100K", "window_clamp=5000", "--also-clamp", "--json")
    rows_of_both = both.document["data"]["sockets"][0]["changes"]
    assert [one["requested"] for one in rows_of_both] == [102_400, 5000]
    for least in ("-5", "2147483647"):
        assert scene.run("42:9", f"rcvbuf={least}", "--also-clamp", "-n").status == 0


def test_the_clamp_is_advised_where_it_is_in_the_way(scene: Scene) -> None:
    data: Any = scene.run("42:9", "rcvbuf=100K", "--json").document["data"]
    assert any("--also-clamp" in line for line in data["sockets"][0]["advice"])


def test_the_same_descriptor_with_another_socket(scene: Scene) -> None:
    """Between the look and the change the program closed it and opened another one."""
    other = descriptor_for(diag_message(inode=999, cookie=0x999, tcp_info={}), MORE)

    def replace(*_: object) -> None:
        scene.kernel.ticks += 1
        scene.kernel.descriptors[42, 9] = other

    scene.connection.on_set = replace
    outcome = scene.run("42:9", "nodelay=0", "keepidle=60")
    assert [row[5] for row in rows(outcome)] == ["set", "not-tried"]
    assert other.writes == []


def test_an_option_that_its_owner_has_set_meanwhile_is_left_to_the_owner(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Journal.begin

    def meanwhile(journal: Journal, entry: JournalEntry) -> None:
        begin(journal, entry)
        scene.connection.options[6, 4] = integer(99)

    monkeypatch.setattr(Journal, "begin", meanwhile)
    outcome = scene.run("42:9", "keepidle=60", "IP_TOS=ef", "priority=3")
    assert outcome.status == ExitCode.FAILED
    assert {row[1]: row[5] for row in rows(outcome)} == {
        "TCP_KEEPIDLE": "not-tried",
        "IP_TOS": "set",
        "SO_PRIORITY": "set",
    }
    assert "its owner has changed it just now" in outcome.out
    assert scene.connection.options[6, 4] == integer(99)


def test_who_cannot_be_told_in_full_is_told_how_to_undo(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tcptool.cli.apply.show_changes", full)
    outcome = scene.run("42:9", "nodelay=0")
    assert outcome.status == ExitCode.FAILED
    assert f"to put them back: tcptool undo {scene.entries()[0].id}" in outcome.err


def test_loopback_that_is_down_is_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr(type(scene.kernel), "own_sockets", down)
    outcome = scene.run("nodelay=1")
    scene.untouched(
        outcome, ExitCode.FAILED, "on loopback", "ENETUNREACH", "Is the interface lo up?"
    )
