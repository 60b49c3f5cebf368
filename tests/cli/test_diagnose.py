"""`tcptool diagnose` on a fake kernel: targets, pages, recordings, statuses."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tcptool.catalog import diag
from tcptool.catalog.attributes import BbrInfo
from tcptool.catalog.verdicts import UNCLEAR
from tcptool.cli.session import Session
from tcptool.decode.netlink import attribute
from tcptool.errors import ExitCode
from tests.cli.living import MOVING, PLACE, WELL, Living
from tests.cli.scene import CLIENT, WEB, Outcome, memory, run
from tests.live.program import unprintable
from tests.live.test_schema import strict
from tests.support.fake_kernel import FakeKernel, descriptor_for, diag_message, structure_bytes
from tests.support.golden import Golden

ROOT = Path(__file__).resolve().parents[2]
PINNED: dict[str, Any] = {
    "rises": MOVING | {"sndbuf_limited_us": 700_000},
    "sizes": {"sndbuf_bytes": 87_040, "wmem_queued_bytes": 90_000},
    "fields": {"notsent_bytes": 0, "sndbuf_limited_us": 1_500_000},
    "buf_lock": 1,
}
"""A send buffer that was set by hand, and limits."""
SMALL_WINDOW: dict[str, Any] = {
    "fields": {"snd_wnd_bytes": 28_960},
    "rises": MOVING | {"rwnd_limited_us": 900_000},
}
OVERFLOW: dict[str, Any] = {
    "more": {
        "state": "listen", "peer": ("0.0.0.0", 0), "local": ("0.0.0.0", 443), "rqueue": 129,
        "wqueue": 128, "attributes": {},  # its drops are not told
    }
}  # fmt: skip
RECEIVES: dict[str, Any] = {
    "rises": {"received_bytes": 2_000_000, "data_segs_in": 1400},
    "fields": {
        "unacked_packets": 0, "notsent_bytes": 0, "rcv_rtt_us": 24_000, "rcv_wnd_bytes": 8_000,
        "rcv_ssthresh_bytes": 64_000,
    },
    "sizes": {"rmem_alloc_bytes": 120_000},
    "more": {"rqueue": 80_000},
}  # fmt: skip
Make = Callable[..., Living]


@pytest.fixture
def living(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setattr("tcptool.actions.diagnose.load_percent", lambda: 10.0)

    def make(**more: Any) -> Living:
        return Living(tmp_path / "kernel", **more)

    return make


def diagnose(one: Living | FakeKernel, *words: object, **more: Any) -> Outcome:
    return run(one.kernel if isinstance(one, Living) else one, "diagnose", *words, **more)


def data_of(outcome: Outcome) -> Any:
    """The answer of ``--json``, whatever the status and the remarks."""
    document = json.loads(outcome.out)
    schema = json.loads((ROOT / "tcptool/schemas/diagnose.json").read_text())
    Draft202012Validator(strict(schema)).validate(document)
    return document["data"]


# -- targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["42:9", "sk:1001", "192.0.2.10:443-198.51.100.7:51844"])
def test_one_socket_by_its_name(target: str, living: Make) -> None:
    data = data_of(diagnose(living(**PINNED), target, "--json"))
    [found] = data["diagnoses"]
    assert (data["survey"], data["complete"]) == (None, True)
    assert (found["handle"], found["cookie"], found["verdict"]) == ("42:9", "1001", "send-buffer")
    assert found["holders"][0]["process"] == "nginx"
    assert found["measures"]["samples"] == 201


@pytest.mark.parametrize(
    ("words", "sockets"),
    [
        ((), 4),
        ((":443",), 4),
        ((":51844",), 1),
        (("42",), 3),
        (("state", "established"), 1),
        (("process = nginx and rtt < 50ms",), 1),
    ],
)
def test_many_sockets_by_what_they_have_in_common(
    words: tuple[str, ...], sockets: int, living: Make
) -> None:
    data = data_of(diagnose(living(**PINNED), *words, "--json"))
    assert data["survey"]["sockets"] == sockets
    assert data["survey"]["sampled"] == len(data["diagnoses"]) == sockets
    assert "send-buffer" in [one["verdict"] for one in data["diagnoses"]]


def test_the_worst_of_many_are_sampled_and_come_first(living: Make) -> None:
    one = living(**PINNED)
    data = data_of(diagnose(one, "--json"))
    order = ("fail", "warn", "info", "ok")
    places = [order.index(found["severity"]) for found in data["diagnoses"]]
    assert places == sorted(places)
    data = data_of(diagnose(one, "--top", 1, "--json"))
    assert (data["survey"]["sockets"], len(data["diagnoses"])) == (4, 1)
    assert data["diagnoses"][0]["severity"] == "warn"
    data = data_of(diagnose(one, "--top", 0, "--json"))
    assert (data["survey"]["sampled"], data["diagnoses"]) == (0, [])


def test_both_ends_here_are_one_case(living: Make) -> None:
    one = living(**SMALL_WINDOW)
    other = diag_message(
        local=CLIENT, peer=WEB, inode=800, cookie=0x3003, rqueue=9,
        tcp_info=WELL | {"acked_bytes": 0}, congestion="cubic",
        attributes={
            diag.ATTR_SKMEMINFO: memory(rmem_alloc_bytes=120_000, rcvbuf_bytes=131_072)
        },
    )  # fmt: skip
    one.kernel.sockets.append(other)
    one.kernel.tree.add(50, "reader", sockets={4: 800})
    data = data_of(diagnose(one, ":51844", "--json"))
    assert (data["survey"]["sockets"], len(data["diagnoses"])) == (2, 1)
    [found] = data_of(diagnose(one, "42:9", "--json"))["diagnoses"]
    assert (found["other_handle"], found["verdict"]) == ("50:4", "slow-reader")
    assert any("the other end" in line for line in found["evidence"])


def test_an_mptcp_connection_is_judged_by_its_subflow(living: Make) -> None:
    one = living(**PINNED)
    one.kernel.mptcp_sockets.append(diag_message(local=WEB, peer=CLIENT, inode=701, cookie=0x4004))
    data = data_of(diagnose(one, "sk:4004", "--json"))
    assert [(f["protocol"], f["cookie"]) for f in data["diagnoses"]] == [("tcp", "1001")]


def test_of_a_subflow_that_was_found_the_options_are_not_known(living: Make) -> None:
    ulp = attribute(1, b"mptcp\0")
    one = living(more={"attributes": {diag.ATTR_ULP_INFO: ulp, diag.ATTR_SKMEMINFO: memory()}})
    outcome = diagnose(one, ":51844", "--json")
    assert data_of(outcome)["diagnoses"][0]["handle"] == "42:9"
    [missing] = json.loads(outcome.out)["missing"]
    assert missing["why"] == "it is a subflow of an MPTCP connection"


def test_a_handshake_with_a_listener_of_this_host(living: Make) -> None:
    one = living()
    waiting = diag_message(
        "syn-sent", local=("192.0.2.10", 40_000), peer=WEB, cookie=0x7007, inode=950,
        timer="retransmit", retrans=2, tcp_info={"retransmits": 2},
    )  # fmt: skip
    one.kernel.sockets.append(waiting)
    [found] = data_of(diagnose(one, "sk:7007", "--json"))["diagnoses"]
    assert (found["verdict"], found["other_handle"]) == ("handshake-unanswered", "42:6")
    assert found["advice"][0]["command"] == "tcptool listeners 42:6"
    # One that is far away is not looked for here.
    far = diag_message(
        "syn-sent", local=("192.0.2.10", 40_001), peer=("198.51.100.9", 443), cookie=0x7008,
        inode=951, timer="retransmit", retrans=2, tcp_info={"retransmits": 2},
    )  # fmt: skip
    one.kernel.sockets.append(far)
    [found] = data_of(diagnose(one, "sk:7008", "--json"))["diagnoses"]
    assert found["other_handle"] is None


# -- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["1:2"], ExitCode.NOT_FOUND, "no such process"),
        (["sk:99"], ExitCode.NOT_FOUND, "diagnosing socket sk:99: no TCP socket matches"),
        ([":99"], ExitCode.NOT_FOUND, "tcptool list shows what is there"),
        (["99"], ExitCode.NOT_FOUND, "no TCP socket matches"),
        (["state = nonsense"], ExitCode.USAGE, "nonsense"),
        (["42:9", "--for", "soon"], ExitCode.USAGE, "--for"),
        (["42:9", "--target", "much"], ExitCode.USAGE, "--target"),
        (["42:9", "--target", "0"], ExitCode.USAGE, "the rate is 0"),
        (["42:9", "--fail-on", "much"], ExitCode.USAGE, "--fail-on"),
        (["--top", "101"], ExitCode.USAGE, "--top"),
        (["--top", "-1"], ExitCode.USAGE, "--top"),
        (["42:9", "--from", "x"], ExitCode.USAGE, "a recording has its sockets and samples"),
        (["--for", "1s", "--from", "x"], ExitCode.USAGE, "Leave TARGET, --for"),
        (["--record", "y", "--from", "x"], ExitCode.USAGE, "Leave TARGET, --for"),
        (["--from", "none/x"], ExitCode.NOT_FOUND, "reading 'none/x'"),
        (["42:9", "--record", "none/x"], ExitCode.NOT_FOUND, "Nothing was measured."),
    ],
)
def test_what_is_refused(
    words: list[str], status: int, why: str, living: Make, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    one = living()
    outcome = diagnose(one, *words)
    assert (outcome.status, outcome.out) == (status, "")
    assert why in outcome.err
    assert one.kernel.waits == []  # said at once


def test_a_kernel_without_sock_diag(living: Make) -> None:
    one = living()
    one.kernel.errno_for_diag = errno.ENOENT
    outcome = diagnose(one)
    assert (outcome.status, outcome.out) == (ExitCode.UNSUPPORTED, "")
    assert "CONFIG_INET_TCP_DIAG" in outcome.err or "tcp_diag" in outcome.err
    assert diagnose(one, "42:9").status in (ExitCode.UNSUPPORTED, ExitCode.NOT_FOUND)


def test_an_unconnected_socket(living: Make) -> None:
    one = living()
    one.kernel.tree.add(60, "new", sockets={3: 900})
    unbound = diag_message("close", local=("0.0.0.0", 0), cookie=0x6006, inode=900, tcp_info={})
    one.kernel.descriptors[60, 3] = descriptor_for(unbound)
    outcome = diagnose(one, "60:3")
    assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
    assert "it is not connected and does not listen" in outcome.err


def test_a_namespace_without_a_list_of_congestion_controls(living: Make) -> None:
    one = living(
        fields={"snd_cwnd_packets": 20, "rtt_us": 21_000},
        info=lambda passed_s: {"delivery_rate_bytes_per_s": 100_000 * (1 + int(50 * passed_s) % 5)},
        rises=MOVING | {"retrans_bytes": 10_000, "total_retrans_packets": 7},
    )
    (one.kernel.tree.root / "sys/net/ipv4/tcp_available_congestion_control").unlink()
    [found] = data_of(diagnose(one, "42:9", "--json"))["diagnoses"]
    commands = [advice["command"] for advice in found["advice"]]
    assert "tcptool apply 42:9 congestion=bbr" in commands, found


def test_options_out_of_reach_are_said_and_a_verdict_is_given(living: Make) -> None:
    one = living(**PINNED)
    one.kernel.refusals[42] = errno.EPERM
    outcome = diagnose(one, "42:9", "--json")
    [found] = data_of(outcome)["diagnoses"]
    assert found["verdict"] == "send-buffer"
    [missing] = json.loads(outcome.out)["missing"]
    assert "TCP_NODELAY" in missing["what"]
    assert found["advice"][1]["command"].startswith("sudo tcptool apply ")
    plain = diagnose(one, "42:9")
    assert (plain.status, "TCP_NODELAY" in plain.err) == (0, True)


# -- what ends while it is sampled -------------------------------------------------------------


def test_a_connection_that_ends(living: Make) -> None:
    one = living(**PINNED)
    move = one.kernel.on_wait
    assert move is not None

    def end(kernel: FakeKernel) -> None:
        if kernel.ticks < 1002:
            move(kernel)
        elif len(kernel.sockets) == 4:
            del kernel.sockets[PLACE]

    one.kernel.on_wait = end
    [found] = data_of(diagnose(one, "42:9", "--json"))["diagnoses"]
    assert (found["ended"], found["verdict"]) == (True, "send-buffer")
    assert "the connection ended after" in found["notes"][0]


def test_a_connection_that_is_over_is_no_news(living: Make) -> None:
    [found] = data_of(diagnose(living(), "sk:1003", "--json"))["diagnoses"]
    assert (found["verdict"], found["ended"], found["notes"]) == ("closed", False, [])


def test_ctrl_c_judges_what_was_read(living: Make) -> None:
    one = living(**PINNED)
    move = one.kernel.on_wait
    assert move is not None

    def interrupt(kernel: FakeKernel) -> None:
        if kernel.ticks >= 1002:
            raise KeyboardInterrupt
        move(kernel)

    one.kernel.on_wait = interrupt
    outcome = diagnose(one, "42:9", "--json")
    data = data_of(outcome)
    assert (outcome.status, data["complete"]) == (ExitCode.INTERRUPTED, False)
    assert data["diagnoses"][0]["verdict"] == "send-buffer"
    assert data["diagnoses"][0]["measures"]["samples"] < 201


def test_ctrl_c_is_said_on_the_page(living: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    one = living()

    def interrupt(_kernel: FakeKernel) -> None:
        raise KeyboardInterrupt

    one.kernel.on_wait = interrupt
    outcome = diagnose(one, "42:9")
    assert outcome.status == ExitCode.INTERRUPTED
    assert outcome.out.startswith("Ended by Ctrl-C: ")


@pytest.mark.parametrize("left", [0, 1])
def test_a_socket_that_goes_before_the_first_sample(
    left: int, living: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = living()

    def vanish(*_words: object) -> float:
        one.kernel.on_wait = None
        one.kernel.sockets[PLACE:] = one.kernel.sockets[:0]
        return 0.02

    monkeypatch.setattr("tcptool.actions.diagnose._pace_s", vanish)
    outcome = diagnose(one, "42" if left else "sk:1001", "--json")
    if left:
        assert len(data_of(outcome)["diagnoses"]) == left
        assert "2 ended before their first sample" in outcome.out
    else:
        assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
        assert "it ended before the first sample" in outcome.err


# -- how long and how fast ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "fields", "samples", "seconds"),
    [
        ([], {}, 201, 4),
        (["--for", "1s"], {}, 51, 1),
        ([], {"min_rtt_us": 300}, 801, 4),
        ([], {"rtt_us": 400_000}, 401, 8),
        ([], {"rtt_us": 4_000_000}, 501, 10),
    ],
)
def test_the_window_suits_the_path(
    words: list[str], fields: dict[str, Any], samples: int, seconds: int, living: Make
) -> None:
    [found] = data_of(diagnose(living(fields=fields), "42:9", *words, "--json"))["diagnoses"]
    assert found["measures"]["samples"] == pytest.approx(samples, abs=1)
    assert found["measures"]["duration_s"] == pytest.approx(seconds, rel=0.02)


# -- pages -------------------------------------------------------------------------------------

PAGES: list[tuple[str, dict[str, Any], list[str], int]] = [
    ("warn-40", PINNED, ["42:9"], 40),
    ("warn-80", PINNED, ["42:9"], 80),
    ("warn-120", PINNED, ["42:9"], 120),
    ("unclear-80", {}, ["42:9", "--for", "50ms"], 80),
    ("out-of-reach-80", SMALL_WINDOW, ["42:9", "--target", "100mbit"], 80),
    ("out-of-reach-40", SMALL_WINDOW, ["42:9", "--target", "100mbit"], 40),
    ("listener-80", OVERFLOW, ["42:9"], 80),
    ("receiver-80", RECEIVES, ["42:9"], 80),
    ("survey-80", PINNED, ["--top", "2"], 80),
    ("all-80", PINNED, [], 80),
]


@pytest.mark.parametrize(("name", "scene", "words", "width"), PAGES, ids=[p[0] for p in PAGES])
def test_page(
    name: str, scene: dict[str, Any], words: list[str], width: int, living: Make, golden: Golden,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    outcome = diagnose(living(**scene), *words, env={"COLUMNS": str(width)})
    assert (outcome.status, outcome.err) == (0, "")
    for line in outcome.out.splitlines():
        is_command = line.strip().startswith(("tcptool ", "sudo ", "then", "tc "))
        assert len(line) <= min(width, 100) or is_command, line
    golden(f"diagnose/{name}.txt", outcome.out)


def test_plain(living: Make, golden: Golden) -> None:
    outcome = diagnose(living(**PINNED))
    assert (outcome.status, outcome.err) == (0, "")
    golden("diagnose/plain.txt", outcome.out)
    heading, *rows = outcome.out.splitlines()
    assert {len(row.split()) for row in rows} == {len(heading.split())}


@pytest.mark.parametrize("color", ["always", "never"])
def test_color(color: str, living: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    out = diagnose(living(**PINNED), "42:9", "--color", color).out
    assert ("\x1b[1;33m" in out) is (color == "always")


def test_a_goal_within_reach(living: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    out = diagnose(living(), "42:9", "--target", "5mbit").out
    assert "5 Mbit/s is within reach; now 4 Mbit/s" in out


def test_a_goal_of_which_not_all_is_known(living: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    one = living(fields={"sent_bytes": 0}, rises={})
    (one.kernel.tree.root / "sys/net/ipv4/tcp_wmem").unlink()
    out = diagnose(one, "42:9", "--target", "5mbit").out
    assert "5 Mbit/s may be within reach" in out
    assert "??  net.ipv4.tcp_wmem[2] not known, needed at least" in out


def test_what_is_closest_is_said_where_it_is_unclear(
    living: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    monkeypatch.setattr("tcptool.actions.diagnose.load_percent", lambda: 300.0)
    out = diagnose(living(fields={"notsent_bytes": 0}), "42:9", "--for", "100ms").out
    assert "nothing stands out; closest is application-limited" in out
    assert "this host is overloaded (300 % of its processors)" in out


def test_hostile_names_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcptool.actions.diagnose.load_percent", lambda: 10.0)
    one = Living(tmp_path / "kernel", congestion="\x1b[2J\u202e", **PINNED)
    stat = one.kernel.tree.root / "42" / "stat"
    stat.write_text(stat.read_text().replace("(nginx)", "(\x1b]0;x\x07[red]\u202e)"))
    assert unprintable(diagnose(one).out) == []
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    out = diagnose(one, "42:9").out
    assert unprintable(out) == []
    assert "[red]" in out  # shown, and not obeyed


def test_bbr_in_its_start(living: Make) -> None:
    start = structure_bytes(BbrInfo, pacing_gain=739)
    one = living(
        congestion="bbr",
        info=lambda passed_s: {"snd_cwnd_packets": 42 + int(20 * passed_s)},
        more={"attributes": {diag.ATTR_BBRINFO: start, diag.ATTR_SKMEMINFO: memory()}},
    )
    [found] = data_of(diagnose(one, "42:9", "--json"))["diagnoses"]
    assert (found["verdict"], found["congestion"]) == ("slow-start", "bbr")


# -- recordings --------------------------------------------------------------------------------


def judgement(outcome: Outcome) -> Any:
    """The diagnoses without the commands: a recording cannot be acted upon."""
    data = data_of(outcome)
    for found in data["diagnoses"]:
        del found["again"], found["advice"]
    return data["diagnoses"]


def test_a_recording_is_judged_as_the_connection_was(living: Make, tmp_path: Path) -> None:
    one, file = living(**PINNED), str(tmp_path / "slow.jsonl")
    then = judgement(diagnose(one, "42:9", "--record", file, "--json"))
    one.kernel.sockets.clear()
    later = diagnose(one, "--from", file, "--json")
    assert judgement(later) == then
    document = json.loads(later.out)
    assert (document["host"], document["kernel"]) == (one.kernel.host, one.kernel.kernel_release)
    assert [warning["id"] for warning in document["warnings"]] == ["recording"]
    goal = judgement(diagnose(one, "--from", file, "--target", "1gbit", "--json"))[0]["goal"]
    assert goal["reachable"] is False


def test_a_recording_of_many_keeps_all(living: Make, tmp_path: Path) -> None:
    one, file = living(**PINNED), str(tmp_path / "all.jsonl")
    then = judgement(diagnose(one, "--record", file, "--json"))
    later = judgement(diagnose(one, "--from", file, "--json"))
    assert later == then


def test_keys_are_not_recorded(living: Make, tmp_path: Path) -> None:
    secret = b"an-example-not-a-secret"
    one, file = living(more={"attributes": {diag.ATTR_MD5SIG: secret}}), tmp_path / "x.jsonl"
    assert diagnose(one, "42:9", "--for", "1s", "--record", file).status == 0
    text = file.read_text()
    assert secret.hex() not in text
    assert text.count('"reading"') == 51


def broken(edit: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    return lambda text: "".join(edit(text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda _text: "", "line 1: it is not JSON"),
        (lambda text: text[:-9], "it is not JSON, or was cut short"),
        (lambda text: text.replace("recording/1", "recording/9"), "line 1: its schema is"),
        (broken(lambda lines: lines[:1]), "no socket is in it"),
        (broken(lambda lines: lines[:2]), "the socket has no readings"),
        (lambda text: text.replace('"at_s":', '"at":'), "line 3: it does not hold a reading"),
        (lambda text: text.replace('"fd":9', '"fd":"x"'), "line 2: fd is not a whole number"),
    ],
)
def test_a_broken_recording(
    edit: Callable[[str], str], why: str, living: Make, tmp_path: Path
) -> None:
    one, file = living(), tmp_path / "x.jsonl"
    diagnose(one, "42:9", "--for", "100ms", "--record", file)
    file.write_text(edit(file.read_text()))
    outcome = diagnose(one, "--from", file)
    assert (outcome.status, outcome.out) == (ExitCode.FAILED, "")
    assert why in outcome.err
    assert "`tcptool diagnose --record FILE` writes one." in outcome.err


@pytest.mark.parametrize("reply", ["", "00", "02" * 73])
def test_a_recording_with_replies_that_are_none(reply: str, living: Make, tmp_path: Path) -> None:
    one, file = living(), tmp_path / "x.jsonl"
    diagnose(one, "42:9", "--for", "100ms", "--record", file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[2]["reply"] = reply
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcome = diagnose(one, "--from", file)
    assert outcome.status in (0, ExitCode.FAILED, ExitCode.UNSUPPORTED), outcome


# -- statuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "words", "status"),
    [
        (PINNED, ["--fail-on", "fail"], 0),
        (PINNED, ["--fail-on", "warn"], 1),
        (OVERFLOW, ["--fail-on", "fail"], 1),
        ({}, ["--fail-on", "warn"], 0),
        (SMALL_WINDOW, ["--target", "100mbit"], 0),
        (SMALL_WINDOW, ["--target", "100mbit", "--fail-on", "fail"], 1),
        (SMALL_WINDOW, ["--target", "1mbit", "--fail-on", "fail"], 0),
    ],
)
def test_fail_on(scene: dict[str, Any], words: list[str], status: int, living: Make) -> None:
    outcome = diagnose(living(**scene), "42:9", *words)
    assert (outcome.status, outcome.err) == (status, "")
    assert outcome.out


def test_unclear_is_an_answer(living: Make) -> None:
    outcome = diagnose(living(), "42:9", "--json")
    assert (outcome.status, judgement(outcome)[0]["verdict"]) == (0, UNCLEAR)


def test_a_command_names_the_namespace_of_a_socket_without_owner(
    living: Make, tmp_path: Path
) -> None:
    inner = living(**SMALL_WINDOW)
    inner.kernel.tree.remove(42)
    outer = FakeKernel(tmp_path / "outer")
    outer.namespaces["blue"] = inner.kernel
    [found] = data_of(diagnose(outer, "sk:1001", "--netns", "blue", "--json"))["diagnoses"]
    assert found["again"] == "tcptool diagnose sk:1001 --netns blue"
