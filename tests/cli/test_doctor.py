"""`tcptool doctor` on a fake host: what it says, to whom, and with which exit status."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tcptool.analysis.host.table import CHECKS
from tcptool.cli.session import Session
from tcptool.errors import ExitCode, NotPermitted
from tests.cli.scene import Outcome, run
from tests.live.test_schema import strict
from tests.support.fake_host import Host
from tests.support.fake_kernel import FakeKernel, diag_message
from tests.support.golden import Golden

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "\x1b[2Jevil\nname"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def ill(host: Host) -> Host:
    """A listener that overflows, SACK off, memory squeezed, losses."""
    host.kernel.sockets = [
        diag_message("listen", local=("0.0.0.0", 8080), inode=700, rqueue=129, wqueue=128),
        diag_message(
            local=("192.0.2.10", 443), peer=("198.51.100.7", 5), inode=701,
            tcp_info={"sent_bytes": 1_000_000, "retrans_bytes": 40_000, "rtt_us": 9},
        ),
    ]  # fmt: skip
    host.process(42, "api", {6: 700, 9: 701})
    host.sysctl("net.ipv4.tcp_sack", "0")
    host.counters["TcpExtListenOverflows"] = 40
    host.write_counters()
    host.grow(
        TcpExtListenOverflows=3, TcpExtListenDrops=3, TcpOutSegs=10_000, TcpRetransSegs=200,
        TcpExtTCPRcvCollapsed=4,
    )  # fmt: skip
    return host


def doctor(host: Host, *words: object) -> Outcome:
    return run(host.kernel, "doctor", *words)


def people(host: Host, monkeypatch: pytest.MonkeyPatch, *words: object) -> str:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    outcome = doctor(host, "--color", "never", *words)
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.out


def rows(outcome: Outcome) -> dict[str, list[str]]:
    heading, *lines = (
        line.split(maxsplit=4) for line in outcome.out.splitlines() if not line.startswith("#")
    )
    assert heading == ["severity", "check", "layer", "aspect", "finding"]
    return {line[1]: line for line in lines}


def test_a_healthy_host(host: Host) -> None:
    outcome = doctor(host)
    assert (outcome.status, outcome.err) == (0, "")
    assert rows(outcome).keys() == CHECKS.keys()
    assert {row[0] for row in rows(outcome).values()} == {"ok", "skip"}
    assert sum(host.kernel.waits) == pytest.approx(5)


def test_an_ill_host(ill: Host) -> None:
    found = rows(doctor(ill))
    severities = {check: row[0] for check, row in found.items() if row[0] not in ("ok", "skip")}
    assert severities == {
        "H-12": "fail", "H-21": "fail", "H-11": "info", "H-01": "warn", "H-14": "warn"
    }  # fmt: skip
    assert list(severities) == ["H-12", "H-21", "H-11", "H-01", "H-14"]
    assert found["H-12"][4].startswith("a queue was full 3 times in 5 s, 0.0.0.0:8080 (api 42:6)")


def test_what_stands_beside_the_checks_in_a_pipe(ill: Host) -> None:
    beside = [line for line in doctor(ill).out.splitlines() if line.startswith("#")]
    assert beside[0].startswith("# fail H-12: A connection that finds the queue full is dropped")
    assert "#   seen: 0.0.0.0:8080 (api 42:6): 129 wait, backlog 128" in beside
    assert "#   run: sudo tcptool apply 42:6 backlog=172" in beside
    assert "#   undo: sudo sysctl -w net.ipv4.tcp_sack=0" in beside
    assert any(line.startswith("#   keep: net.ipv4.tcp_sack = 1 in /etc") for line in beside)
    assert any(line.startswith("#   risk: ") for line in beside)
    assert not any("H-02" in line for line in beside)  # in order


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], ExitCode.OK),
        (["--fail-on", "warn"], ExitCode.ANSWER_IS_NO),
        (["--fail-on", "fail"], ExitCode.ANSWER_IS_NO),
    ],
)
def test_exit_status_of_an_ill_host(ill: Host, words: list[str], status: int) -> None:
    assert doctor(ill, *words).status == status


def test_exit_status_of_a_warning(host: Host) -> None:
    host.grow(TcpExtTCPRcvCollapsed=1)
    assert doctor(host, "--fail-on", "fail").status == ExitCode.OK
    host.grow(TcpExtTCPRcvCollapsed=1)
    assert doctor(host, "--fail-on", "warn").status == ExitCode.ANSWER_IS_NO
    assert doctor(host, "--fail-on", "warn").status == ExitCode.OK  # it does not go on


def test_for_people(ill: Host, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    text = people(ill, monkeypatch)
    golden("doctor/people.txt", text)
    assert max(map(len, text.splitlines())) <= 80


def test_all_for_people(host: Host, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    text = people(host, monkeypatch, "--all")
    golden("doctor/all.txt", text)
    assert max(map(len, text.splitlines())) <= 80
    assert all(check in text for check in CHECKS)


def test_a_healthy_host_for_people(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    text = people(host, monkeypatch)
    assert "nothing found; 31 ok, 4 not checked" in text
    assert "(--all shows each)" in text


def test_in_colour(ill: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = people(ill, monkeypatch)
    ill.grow(
        TcpExtListenOverflows=3, TcpExtListenDrops=3, TcpOutSegs=10_000, TcpRetransSegs=200,
        TcpExtTCPRcvCollapsed=4,
    )  # fmt: skip
    coloured = doctor(ill, "--color", "always").out
    assert "\x1b[1;31mfail " in coloured
    assert "\x1b[" not in plain


def test_commands_can_be_pasted(ill: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    ill.sysctl("net.core.somaxconn", "128")
    lines = people(ill, monkeypatch).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("      run   sudo sysctl"))
    text = lines[start].removeprefix("      run   ")
    while text.endswith("\\"):
        start += 1
        text = text.removesuffix("\\") + lines[start]
    assert shlex.split(text) == [
        "sudo", "sysctl", "-w", "net.core.somaxconn=172", "&&",
        "sudo", "tcptool", "apply", "42:6", "backlog=172",
    ]  # fmt: skip


def test_json_is_as_its_schema_says(ill: Host) -> None:
    outcome = doctor(ill, "--json", "--for", "2s")
    made = outcome.document
    schema = json.loads((ROOT / "tcptool/schemas/doctor.json").read_text())
    Draft202012Validator(strict(schema)).validate(made)
    data = made["data"]
    assert (data["complete"], data["worst"], data["path"]) == (True, "fail", None)
    assert data["window_s"] == pytest.approx(2)
    found = {one["id"]: one for one in data["findings"]}
    assert found.keys() == CHECKS.keys()
    sack = found["H-21"]
    assert sack["evidence"] == [
        {"where": "/proc/sys/net/ipv4/tcp_sack", "value": "0", "total": None, "grown": None}
    ]
    overflows = found["H-12"]["evidence"][0]
    assert (overflows["total"], overflows["grown"]) == (43, 3)
    assert sack["remedy"]["command"] == "sudo sysctl -w net.ipv4.tcp_sack=1"
    assert sack["remedy"]["undo"] == "sudo sysctl -w net.ipv4.tcp_sack=0"
    assert sack["myths"][0]["id"] == "sack-and-timestamps"
    assert found["H-02"]["remedy"] is None


def test_json_with_fail_on(ill: Host) -> None:
    outcome = doctor(ill, "--json", "--fail-on", "fail")
    assert (outcome.status, outcome.err) == (1, "")
    assert json.loads(outcome.out)["data"]["worst"] == "fail"


def test_ctrl_c_judges_what_was_seen(ill: Host) -> None:
    passes = ill.kernel.on_wait
    assert passes is not None

    def interrupt(kernel: FakeKernel) -> None:
        passes(kernel)
        if len(kernel.waits) == 3:
            raise KeyboardInterrupt

    ill.kernel.on_wait = interrupt
    outcome = doctor(ill, "--json", "--fail-on", "fail")
    assert (outcome.status, outcome.err) == (ExitCode.INTERRUPTED, "")
    data = json.loads(outcome.out)["data"]
    assert (data["complete"], data["worst"]) == (False, "fail")
    assert data["window_s"] == pytest.approx(0.75)


def test_ctrl_c_for_people(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: FakeKernel) -> None:
        raise KeyboardInterrupt

    host.kernel.on_wait = interrupt
    monkeypatch.setattr(Session, "on_terminal", lambda _: True)
    outcome = doctor(host)
    assert outcome.status == ExitCode.INTERRUPTED
    assert "two readings 250 ms apart, cut short by Ctrl-C" in " ".join(outcome.out.split())


GROWN: dict[str, dict[str, int]] = {
    "H-01": {"TcpOutSegs": 1000, "TcpRetransSegs": 500},
    "H-02": {"TcpRetransSegs": 50, "TcpExtTCPTimeouts": 50},
    "H-04": {"TcpExtTCPSynRetrans": 5, "TcpActiveOpens": 5},
    "H-12": {"TcpExtListenOverflows": 1},
    "H-14": {"TcpExtTCPRcvCollapsed": 5},
    "H-28": {"TcpExtTCPToZeroWindowAdv": 5},
}


@pytest.mark.parametrize("netns", [(), ("--netns", "blue")])
@pytest.mark.parametrize("check", GROWN)
def test_what_is_proposed_to_look_at_can_be_looked_at(
    host: Host, check: str, netns: tuple[str, ...]
) -> None:
    host.kernel.namespaces["blue"] = host.kernel
    host.grow(**GROWN[check])
    document = doctor(host, "--json", *netns).document
    [found] = [one for one in document["data"]["findings"] if one["id"] == check]
    program, *words = shlex.split(found["remedy"]["command"])
    assert program == "tcptool"
    assert ("blue" in words) == bool(netns)
    assert run(host.kernel, *words).status == 0


def test_commands_of_other_findings_can_be_run(host: Host) -> None:
    for words in (
        ["list", "inode = 0 and not state time-wait", "--by", "state"],
        ["list", "--by", "process", "state", "close-wait"],
        ["list", "--by", "process"],
        ["profiles", "show", "rpc"],
    ):
        assert run(host.kernel, *words).status == 0, words


# -- bad weather ---------------------------------------------------------------------------


def test_a_container_that_hides_everything(host: Host) -> None:
    for name in ("sys", "thread-self", "stat", "meminfo", "loadavg"):
        path = host.kernel.tree.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    host.process(42, "api", {})
    host.kernel.on_wait = None
    host.kernel.errno_for_route = errno.EPERM
    host.kernel.errno_for_diag = errno.EACCES
    outcome = doctor(host, "--fail-on", "warn")
    assert outcome.status == 0
    assert "sock_diag is not available (EACCES)" in outcome.err
    found = rows(outcome)
    assert {row[0] for row in found.values()} == {"skip", "ok"}
    # A process can be seen, but nothing that could be wrong with TCP.
    assert [check for check, row in found.items() if row[0] == "ok"] == ["H-18", "H-36"]
    assert found["H-01"][4] == "No such file or directory (ENOENT)"
    assert found["H-07"][4] == "Operation not permitted (EPERM)"


def test_a_kernel_without_sock_diag(host: Host) -> None:
    host.kernel.errno_for_diag = errno.ENOENT
    host.kernel.tree.write("thread-self/net/tcp", "  sl  local_address\n")
    host.kernel.tree.write("thread-self/net/tcp6", "  sl  local_address\n")
    outcome = doctor(host)
    assert outcome.status == 0
    assert "sock_diag is not available" in outcome.err
    assert rows(outcome)["H-12"][0] == "ok"


def test_counters_that_go_back(host: Host) -> None:
    host.counters["TcpRetransSegs"] = 9
    host.write_counters()
    host.grow(TcpRetransSegs=-5)
    assert rows(doctor(host))["H-01"][4] == "TcpRetransSegs went back from 9 to 4"


def test_another_network_namespace(host: Host, tmp_path: Path) -> None:
    inner = Host(tmp_path / "inner")
    inner.sysctl("net.ipv4.tcp_sack", "0")
    host.kernel.namespaces["blue"] = inner.kernel
    outcome = doctor(host, "--netns", "blue", "--json")
    found = {one["id"]: one for one in outcome.document["data"]["findings"]}
    assert found["H-21"]["remedy"]["command"] == (
        "sudo nsenter --net=/run/netns/blue sysctl -w net.ipv4.tcp_sack=1"
    )
    assert doctor(host, "--netns", "green").status == ExitCode.NOT_FOUND


def test_a_namespace_that_may_not_be_entered(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise NotPermitted("entering the network namespace", "Operation not permitted (EPERM)")

    monkeypatch.setattr(FakeKernel, "net_text", refuse)
    outcome = doctor(host)
    assert (outcome.status, outcome.out) == (ExitCode.NOT_PERMITTED, "")
    assert "entering the network namespace" in outcome.err


def test_owners_that_cannot_be_seen_are_told_where_one_is_missing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise PermissionError(errno.EACCES, "denied")

    host.process(42, "api", {6: 700})
    monkeypatch.setattr("tcptool.linux.owners.socket_descriptors", refuse)
    assert doctor(host).err == ""
    host.kernel.sockets = [diag_message("listen", local=("0.0.0.0", 80), inode=700, wqueue=9)]
    assert "owners of some sockets" in doctor(host).err


def test_a_busy_host_is_told(host: Host) -> None:
    host.kernel.tree.write("loadavg", "9.00 9.00 9.00 1/100 1234\n")
    outcome = doctor(host)
    assert "load above cores: the load average is 450 % of the processors" in outcome.err
    assert doctor(host, "--quiet").err == ""
    warnings = doctor(host, "--json").document["warnings"]
    assert [one["id"] for one in warnings] == ["load-above-cores"]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_hostile_names_do_no_harm(host: Host, words: list[str]) -> None:
    host.kernel.sockets = [
        diag_message("listen", local=("0.0.0.0", 80), inode=700, rqueue=9, wqueue=2)
    ]
    host.process(42, HOSTILE, {6: 700})
    outcome = doctor(host, *words)
    assert outcome.status == 0
    assert "\x1b" not in outcome.out
    assert r"\x1b[2Jevil\nname" in outcome.out or r"[2Jevil\nname" in outcome.out


def test_ascii_terminals(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda _: True)
    outcome = run(host.kernel, "doctor", "--rtt", "50us", "--rate", "1gbit")
    assert "50 µs" in outcome.out
    from tcptool.views.look import Look

    monkeypatch.setattr(Session, "look", lambda _: Look(unicode=False))
    outcome = run(host.kernel, "doctor", "--rtt", "50us", "--rate", "1gbit")
    assert outcome.out.isascii()
    assert "50 us" in outcome.out


# -- a path --------------------------------------------------------------------------------

PATH = ("--rtt", "80ms", "--rate", "1gbit")


def test_a_path_in_a_pipe(host: Host) -> None:
    outcome = doctor(host, *PATH)
    assert (outcome.status, outcome.err) == (0, "")
    heading, *lines = (line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert heading == ["figure", "value"]
    figures = dict(lines)
    assert figures["bdp_bytes"] == "10000000"
    assert figures["receive_needed_bytes"] == "40000000"
    assert (figures["receive_answer"], figures["send_answer"]) == ("too-small", "too-small")
    assert figures["command"].startswith("sudo sysctl -w net.ipv4.tcp_rmem='4096 131072 40000000'")
    assert figures["undo"].startswith("sudo sysctl -w net.ipv4.tcp_rmem='4096 131072 6291456'")
    assert host.kernel.waits == []


def test_a_path_for_people(host: Host, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    text = people(host, monkeypatch, *PATH)
    golden("doctor/path.txt", text)
    assert max(map(len, text.splitlines())) <= 80


def test_a_path_that_has_enough(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = doctor(host, "--rtt", "10ms", "--rate", "100mbit", "--fail-on", "warn")
    assert outcome.status == 0
    assert "command" not in outcome.out
    text = people(host, monkeypatch, "--rtt", "10ms", "--rate", "100mbit")
    assert "the limits are enough: leave them" in text


def test_a_path_in_json(host: Host) -> None:
    made = doctor(host, *PATH, "--json").document
    schema = json.loads((ROOT / "tcptool/schemas/doctor.json").read_text())
    Draft202012Validator(strict(schema)).validate(made)
    data = made["data"]
    assert (data["window_s"], data["worst"]) == (None, "warn")
    assert data["path"]["receive"]["answer"] == "too-small"
    assert [one["id"] for one in data["findings"]] == ["H-15"]
    assert doctor(host, *PATH, "--fail-on", "warn").status == 1


def test_a_path_without_any_limit(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(host.kernel.tree.root / "sys")
    figures = dict(line.split(maxsplit=1) for line in doctor(host, *PATH).out.splitlines())
    assert (figures["receive_answer"], figures["window_scale"]) == ("unknown", "-")
    assert (figures["severity"], figures["congestion_control"]) == ("skip", "-")
    text = people(host, monkeypatch, *PATH)
    assert "it cannot be read here" in text
    assert "window scale unknown now, 10 with" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rtt", "80ms"], "--rate is missing"),
        (["--rate", "1gbit"], "--rtt is missing"),
        (["--rtt", "80", "--rate", "1gbit"], "a duration such as"),
        (["--rtt", "80ms", "--rate", "fast"], "a rate such as"),
        (["--rtt", "2m", "--rate", "1gbit"], "not between 1us and 1m"),
        (["--rtt", "80ms", "--rate", "0"], "not between 8bit and 1000tbit"),
        ([*PATH, "--for", "5s"], "it does not go with --rtt and --rate"),
        (["--for", "0"], "between 10ms and 24h"),
        (["--for", "soon"], "a duration such as"),
        (["--fail-on", "info"], "info"),
        (["--netns", ""], "it is empty"),
    ],
)
def test_mistakes_of_usage(host: Host, words: list[str], said: str) -> None:
    outcome = doctor(host, *words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert said in outcome.err
