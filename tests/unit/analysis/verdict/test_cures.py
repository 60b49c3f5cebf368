"""What is advised: who must act, and commands that can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tcptool.analysis.listeners import backlog_for
from tcptool.catalog import thresholds as limits
from tcptool.catalog.severity import Severity
from tcptool.catalog.verdicts import VERDICTS
from tcptool.model.diagnosis import Advice, Diagnosis
from tcptool.model.observation import Reach
from tcptool.sansio.assignment import parse_assignment
from tests.unit.analysis.verdict.observations import LIMITS, MIB, judged, readings, receiver, sender

BULK: dict[str, Any] = {"notsent_bytes": 500_000, "cwnd_used_percent": 100}
LOSSY: dict[str, Any] = {**BULK, "retrans_percent": 1, "mbit": 3}
HELD: dict[str, Any] = {
    "notsent_bytes": 100, "segment_bytes": 100, "held_percent": 60, "cwnd_packets": 10,
    "cwnd_used_percent": 10, "snd_wnd_bytes": 65_536,
}  # fmt: skip
SMALL: dict[str, Any] = {"mbit": 10.0, "rcv_rtt_ms": 40.0, "rcv_wnd_bytes": 50_000}
STILL: dict[str, Any] = {
    "acked_bytes": 1000,
    "received_bytes": 1000,
    "unacked_packets": 0,
    "notsent_bytes": 0,
}
LOST: dict[str, Any] = STILL | {
    "ca_state": "loss", "retransmits": 3, "unacked_packets": 2, "snd_mss_bytes": 1000,
    "delivered_packets": 2,
}  # fmt: skip
HANDLE = "42:9"
LOCKED: dict[str, Any] = {"SO_BUF_LOCK": ("send",)}
AT_RMEM = LIMITS | {"net.ipv4.tcp_rmem[2]": 131_072}


def listener(waiting: int, backlog: int, **around: Any) -> Diagnosis:
    fields: dict[str, Any] = {"state": "listen", "accept_queue": waiting, "backlog": backlog}
    drops = [0, 1] if waiting > backlog else 0
    return judged(readings({}, sock_fields=fields, memory={"drops": drops}), **around)


def lost(**around: Any) -> Diagnosis:
    return judged(readings(LOST, sock_fields={"send_queue_bytes": 2000}), **around)


def stuck(**around: Any) -> Diagnosis:
    closed: dict[str, Any] = {"snd_wnd_bytes": 0, "notsent_bytes": 5000, "probes": 0}
    return judged(readings(STILL | closed), **around)


CASES: dict[str, Callable[..., Diagnosis]] = {
    "listener-overflow": lambda **more: listener(3, 2, **more),
    "listener-filling": lambda **more: listener(3, 3, **more),
    "handshake-unanswered": lambda **more: judged(
        readings({"retransmits": 2}, sock_fields={"state": "syn-sent"}), **more
    ),
    "close-wait": lambda **more: judged(
        readings(
            STILL | {"last_data_recv_ms": limits.FORGOTTEN_MS + 1},
            sock_fields={"state": "close-wait"},
        ),
        **more,
    ),
    "dead-peer": lambda **more: judged(readings(STILL | {"probes": 1}), **more),
    "zero-window": stuck,
    "mtu-black-hole": lambda **more: judged(
        readings(LOST | {"acked_bytes": 101}, sock_fields={"send_queue_bytes": 2000}), **more
    ),
    "no-acks": lost,
    "idle": lambda **more: judged(readings(STILL), **more),
    "corked": lambda **more: judged(sender(**HELD, held_empty_percent=100), **more),
    "nagle": lambda **more: judged(sender(**HELD), **more),
    "pacing-cap": lambda **more: judged(
        sender(
            mbit=8,
            info={"pacing_rate_bytes_per_s": 10**6, "max_pacing_rate_bytes_per_s": 10**6},
        ),
        **more,
    ),
    "slow-reader": lambda **more: judged(
        sender(rwnd_percent=100, zero_window_percent=20), receiver(rcvbuf_used_percent=90), **more
    ),
    "peer-buffer": lambda **more: judged(
        sender(rwnd_percent=100, wnd_used_percent=100), receiver(**SMALL), **more
    ),
    "send-buffer": lambda **more: judged(sender(sndbuf_percent=50), **more),
    "application-limited": lambda **more: judged(sender(app_percent=100), **more),
    "reordering": lambda **more: judged(sender(**BULK, rise={"reord_seen": 100}), **more),
    "loss": lambda **more: judged(sender(**LOSSY), **more),
    "path-rate-with-loss": lambda **more: judged(sender(**LOSSY | {"mbit": 300}), **more),
    "local-queue": lambda **more: judged(sender(**BULK, rtt_ms=60, wmem_alloc_bytes=MIB), **more),
    "bufferbloat": lambda **more: judged(sender(**BULK, rtt_ms=60), **more),
    "slow-start": lambda **more: judged(
        sender(**BULK, info={"snd_cwnd_packets": [10, 90], "snd_ssthresh_packets": "unlimited"}),
        **more,
    ),
    "path-rate": lambda **more: judged(sender(**BULK), **more),
    "local-slow-reader": lambda **more: judged(receiver(rcvbuf_used_percent=90), **more),
    "local-buffer": lambda **more: judged(receiver(**SMALL), **more),
    "closed": lambda **more: judged(readings({}, sock_fields={"state": "time-wait"}), **more),
    "listening": lambda **more: listener(0, 128, **more),
    "not-limited-here": lambda **more: judged(receiver(), **more),
    "unclear": lambda **more: judged(readings({}, samples=1), **more),
}


def commands(found: Diagnosis) -> list[str]:
    return [one.command for one in found.advice if one.command]


def only(found: Diagnosis, word: str) -> Advice:
    [one] = [one for one in found.advice if word in (one.command or "")]
    return one


# -- all of them -------------------------------------------------------------------------------


def test_every_verdict_is_here() -> None:
    assert set(CASES) == set(VERDICTS)


AROUND: list[dict[str, Any]] = [
    {},
    {"options": {}},
    {"reach": Reach(handle="42:9", netns="blue")},
    {"sysctls": {}, "controls": ()},
]


@pytest.mark.parametrize("around", AROUND, ids=str)
@pytest.mark.parametrize("verdict", CASES)
def test_advice_is_complete(verdict: str, around: dict[str, Any]) -> None:
    found = CASES[verdict](**around)
    assert found.verdict == verdict
    if found.severity in (Severity.WARN, Severity.FAIL) and around.get("sysctls") != {}:
        assert found.advice
    for one in found.advice:
        assert one.who in ("application", "socket", "host", "peer", "path")
        assert one.text
        assert one.takes_effect in (None, "now", "new-connections")
        assert one.undo is None or one.command is not None
        if one.command is not None:
            check_command(one.command, around)


def check_command(command: str, around: dict[str, Any]) -> None:
    """It can be pasted as it stands, and means what it says."""
    assert "None" not in command
    words = shlex.split(command)
    if words[0] == "sudo":
        words = words[1:]
    if words[0] == "tcptool" and words[1] in ("diagnose", "inspect"):
        assert words[2] == "43:4"
    elif words[0] == "tcptool":
        assert words[1] == "apply"
        assert words[2] in (HANDLE, "43:4")
        values = [word for word in words[3:] if "=" in word]
        assert values
        for word in values:
            parse_assignment(word)
        rest = [word for word in words[3:] if "=" not in word and word != "--also-clamp"]
        assert rest == (["--netns", "blue"] if "reach" in around and words[2] == HANDLE else [])
        may = "reach" in around if words[2] == HANDLE else False
        assert ("sudo" in command) is (around.get("options") is None and not may)
    else:
        assert words[0] in ("sysctl", "modprobe", "tc")


# -- one by one --------------------------------------------------------------------------------


@pytest.mark.parametrize(("waiting", "backlog"), [(3, 2), (130, 128), (200, 128)])
def test_a_listener_gets_room(waiting: int, backlog: int) -> None:
    found = listener(waiting, backlog, options={})
    wanted = backlog_for(waiting, 1, backlog)
    assert commands(found) == [f"tcptool apply {HANDLE} backlog={wanted}"]
    assert found.cost == "clients believe that they are connected, and wait"
    assert listener(backlog, backlog).cost is None


def test_somaxconn_is_raised_first() -> None:
    found = listener(5000, 4096)
    assert commands(found)[0] == f"sudo sysctl -w net.core.somaxconn={backlog_for(5000, 1)}"
    assert found.advice[1].undo == "sudo sysctl -w net.core.somaxconn=4096"
    assert len(commands(listener(5000, 4096, sysctls={}))) == 1


def test_handshake_counts_its_attempts() -> None:
    fields: dict[str, Any] = {"state": "syn-sent", "timer_retransmits": 4}
    assert judged(readings({}, sock_fields=fields)).cost == (
        "nothing is connected yet, after 5 attempts"
    )


@pytest.mark.parametrize("verdict", ["no-acks", "zero-window", "dead-peer"])
def test_a_user_timeout_is_not_set_twice(verdict: str) -> None:
    for timeout, count in ((0, 1), (30_000, 0), (None, 1)):
        options: dict[str, Any] = {} if timeout is None else {"TCP_USER_TIMEOUT": timeout}
        assert len(commands(CASES[verdict](options=options))) == count
    assert len(commands(CASES[verdict](options=None))) == 1


def test_what_waits_is_the_cost_of_silence() -> None:
    assert lost().cost == "2000 B wait to be acknowledged"
    assert CASES["dead-peer"]().cost is None
    assert stuck().cost == "5000 B wait"


def test_who_to_ask_when_the_peer_is_here() -> None:
    here = Reach(handle="43:4")
    assert stuck(other_reach=here).advice[0].command == "tcptool diagnose 43:4"
    assert CASES["slow-reader"]().advice[0].command == "tcptool inspect 43:4"
    for found in (
        stuck(),
        stuck(other_reach=here, live=False),
        judged(sender(rwnd_percent=100, zero_window_percent=20)),
    ):
        assert found.advice[0].command is None


@pytest.mark.parametrize(("probing", "count"), [(0, 1), (1, 0), (None, 0)])
def test_mtu_probing_is_advised_where_it_is_off(probing: int | None, count: int) -> None:
    sysctls = {} if probing is None else {"net.ipv4.tcp_mtu_probing": probing}
    assert len(commands(CASES["mtu-black-hole"](sysctls=sysctls))) == count


@pytest.mark.parametrize(
    ("options", "count"), [({"SO_KEEPALIVE": False}, 1), ({"SO_KEEPALIVE": True}, 0), (None, 0)]
)
def test_keepalive_is_advised_where_it_is_off(options: dict[str, Any] | None, count: int) -> None:
    assert len(commands(CASES["idle"](options=options))) == count


@pytest.mark.parametrize("verdict", ["nagle", "corked"])
def test_held_messages_cost_their_wait(verdict: str) -> None:
    cost = CASES[verdict]().cost
    assert cost is not None
    assert cost.endswith("ms for each message")


def test_cork_is_taken_out_where_it_is_in() -> None:
    for options in (None, {"TCP_CORK": True}):
        assert "cork=0" in commands(CASES["corked"](options=options))[0]
    found = CASES["corked"](options={"TCP_CORK": False})
    assert commands(found) == []
    assert "MSG_MORE" in found.advice[1].text


@pytest.mark.parametrize(
    ("options", "sndbuf", "words"),
    [
        ({"SO_BUF_LOCK": ("send",)}, MIB, "SO_BUF_LOCK=none"),
        ({"SO_BUF_LOCK": ("send",)}, 4 * MIB, "SO_BUF_LOCK=none"),
        (None, MIB, "SO_BUF_LOCK=none"),  # likely, as it is far from the limit
        (None, 4 * MIB, 'net.ipv4.tcp_wmem="4096 16384 8388608"'),
        ({"SO_BUF_LOCK": ()}, 4 * MIB, 'net.ipv4.tcp_wmem="4096 16384 8388608"'),
        ({"SO_BUF_LOCK": ()}, MIB, ""),
    ],
)
def test_what_makes_a_send_buffer_larger(
    options: dict[str, Any] | None, sndbuf: int, words: str
) -> None:
    found = judged(sender(sndbuf_percent=50, sndbuf_bytes=sndbuf), options=options)
    assert words in " ".join(commands(found))
    assert bool(commands(found)) is bool(words)
    if "sysctl" in " ".join(commands(found)):
        assert found.advice[0].undo == 'sudo sysctl -w net.ipv4.tcp_wmem="4096 16384 4194304"'


@pytest.mark.parametrize("verdict", ["loss", "bufferbloat"])
def test_bbr_is_advised_to_others(verdict: str) -> None:
    assert only(CASES[verdict](), "congestion=bbr").takes_effect == "now"
    unknown = CASES[verdict](controls=())  # it may be there
    assert only(unknown, "congestion=bbr").undo is not None
    found = CASES[verdict](controls=("reno", "cubic"))
    assert only(found, "bbr").command == (
        "sudo modprobe tcp_bbr && sudo tcptool apply 42:9 congestion=bbr"
    )
    ends: dict[str, dict[str, Any]] = {"loss": LOSSY, "bufferbloat": BULK}
    more: dict[str, Any] = {"rtt_ms": 60} if verdict == "bufferbloat" else {}
    own = judged(sender(**ends[verdict], **more, congestion="bbr"))
    assert own.verdict == verdict
    assert not [command for command in commands(own) if "bbr" in command]


def test_the_peer_s_buffer_can_be_widened_here_only() -> None:
    found = CASES["peer-buffer"]()
    assert only(found, "tcptool apply 43:4").who == "peer"
    window = found.measures.snd_wnd_bytes
    assert window is not None
    assert f"SO_RCVBUF={int(4 * window / 1024)}K --also-clamp" in commands(found)[0]
    assert "this window carries" in (found.cost or "")
    assert commands(judged(sender(rwnd_percent=100))) == []
    unknown = judged(sender(rwnd_percent=100, info={"snd_wnd_bytes": None}), receiver(**SMALL))
    assert (unknown.verdict, commands(unknown)) == ("peer-buffer", [])
    assert "carries unknown" in (unknown.cost or "")


def test_what_makes_the_own_window_wider() -> None:
    free = CASES["local-buffer"](options={"SO_BUF_LOCK": ()})
    assert commands(free) == [f"tcptool apply {HANDLE} SO_RCVBUF=195K --also-clamp"]
    at_limit = CASES["local-buffer"](options={"SO_BUF_LOCK": ()}, sysctls=AT_RMEM)
    assert commands(at_limit) == [
        'sudo sysctl -w net.ipv4.tcp_rmem="4096 131072 262144"',
        f"tcptool apply {HANDLE} SO_RCVBUF=195K --also-clamp",
    ]
    assert at_limit.advice[0].takes_effect == "new-connections"
    locked = CASES["local-buffer"](options={"SO_BUF_LOCK": ("receive",)})
    assert [one.command is None for one in locked.advice] == [True, False]
    assert commands(CASES["local-buffer"](sysctls={})) == []
    # SO_RCVBUF is cut to rmem_max, and must be a gain over what the buffer has grown to.
    for most, sizes in ((50_000, 1), (10**6, 0)):
        found = judged(
            receiver(**SMALL, rcvbuf_bytes=131_072 if sizes else 10**6),
            sysctls=LIMITS | {"net.core.rmem_max": most},
        )
        assert commands(found) == []
    capped = judged(receiver(mbit=12, rcv_rtt_ms=40, rcv_wnd_bytes=60_000, info={"rcv_wscale": 0}))
    assert commands(capped) == []
    assert "connect anew" in capped.advice[0].text


def test_a_sysctl_of_which_only_a_part_is_known_is_not_guessed() -> None:
    part = {"net.ipv4.tcp_wmem[2]": 4 * MIB}
    found = judged(sender(sndbuf_percent=50, sndbuf_bytes=4 * MIB), sysctls=part)
    assert (found.verdict, commands(found)) == ("send-buffer", [])
    assert "net.ipv4.tcp_wmem" in found.advice[0].text


HOST_COMMANDS = [
    "listener-overflow",
    "mtu-black-hole",
    "send-buffer",
    "local-queue",
    "local-buffer",
]


@pytest.mark.parametrize("verdict", HOST_COMMANDS)
def test_a_command_of_the_host_enters_the_socket_s_namespace(verdict: str) -> None:
    """net.ipv4 and net.core of another namespace are not those that `sysctl` would change."""
    make = CASES[verdict]
    more: dict[str, Any] = {"options": {"SO_BUF_LOCK": ()}}
    if verdict == "listener-overflow":
        make = lambda **around: listener(5000, 4096, **around)  # noqa: E731
    if verdict == "send-buffer":
        make = lambda **around: judged(sender(sndbuf_percent=50, sndbuf_bytes=4 * MIB), **around)  # noqa: E731
    if verdict == "local-buffer":
        more["sysctls"] = AT_RMEM
    here, entered, unknown = (
        next(one for one in make(**more, **where).advice if one.who == "host")
        for where in ({}, {"elsewhere": True, "inside_pid": 42}, {"elsewhere": True})
    )
    for command, inside in ((here.command, entered.command), (here.undo, entered.undo)):
        if command is not None:
            assert inside == command.replace("sudo ", "sudo nsenter --target 42 --net ")
    assert here.command is not None
    assert (unknown.command, unknown.undo) == (None, None)
    assert unknown.text == here.text


def test_a_receiver_that_is_well_points_to_the_sender() -> None:
    [one] = judged(receiver(), other_reach=Reach(handle="43:4", netns="blue")).advice
    assert (one.who, one.command) == ("peer", "tcptool diagnose 43:4 --netns blue")
    assert commands(judged(receiver())) == []


@pytest.mark.parametrize(
    ("around", "command"),
    [
        ({"options": {}}, "tcptool apply 42:9 nodelay=1"),
        ({}, "sudo tcptool apply 42:9 nodelay=1"),
        ({"live": False}, None),
        ({"reach": Reach(handle="sk:1001", held=False)}, None),
    ],
)
def test_a_command_is_given_where_it_can_be_typed(
    around: dict[str, Any], command: str | None
) -> None:
    one = CASES["nagle"](**around).advice[1]
    assert one.command == command
    assert ("nodelay=1" in one.text) is (command is None)
    assert one.undo == (command and ("sudo " if "sudo" in command else "") + "tcptool undo --last")


def test_a_namespace_s_name_is_quoted() -> None:
    reach = Reach(handle="sk:1001", netns="a; b")
    assert commands(CASES["nagle"](reach=reach)) == [
        "tcptool apply sk:1001 nodelay=1 --netns 'a; b'"
    ]


@pytest.mark.parametrize(
    ("allowed", "right"), [((), ""), (("reno", "bbr"), ""), (("reno",), "sudo ")]
)
def test_a_congestion_control_may_need_a_right(allowed: tuple[str, ...], right: str) -> None:
    found = CASES["loss"](options={}, allowed=allowed)
    assert only(found, "bbr").command == f"{right}tcptool apply 42:9 congestion=bbr"


def test_no_module_is_loaded_for_a_socket_that_nobody_can_reach() -> None:
    found = CASES["loss"](live=False, controls=("reno", "cubic"))
    assert commands(found) == []


def test_a_lock_that_could_not_be_read_is_said() -> None:
    for options in (None, LOCKED):
        texts = " ".join(one.text for one in CASES["send-buffer"](options=options).advice)
        assert ("SO_BUF_LOCK could not be read" in texts) is (options is None)


def test_a_lock_of_the_other_buffer_stays() -> None:
    found = CASES["send-buffer"](options={"SO_BUF_LOCK": ("send", "receive")})
    assert commands(found) == ["tcptool apply 42:9 SO_BUF_LOCK=receive"]


@pytest.mark.parametrize("live", [True, False])
def test_a_listener_on_this_host_is_pointed_to(live: bool) -> None:
    own = readings({"retransmits": 2}, sock_fields={"state": "syn-sent"})
    other = readings({}, sock_fields={"state": "listen", "accept_queue": 3, "backlog": 2})
    found = judged(own, other, live=live)
    assert commands(found) == (["tcptool listeners 43:4"] if live else [])
    assert found.advice[0].who == "application"
    assert any("accept_queue 3, backlog 2" in line for line in found.evidence)
    assert "firewalls" in judged(own).advice[0].text
    no_listener = readings({}, sock_fields={"state": "syn-recv"})
    assert "firewalls" in judged(own, no_listener).advice[0].text


def test_what_waits_unread_is_said_where_nobody_closes() -> None:
    fields = {"state": "close-wait", "receive_queue_bytes": 501}
    info = STILL | {"last_data_recv_ms": limits.SURELY_FORGOTTEN_MS}
    found = judged(readings(info, sock_fields=fields))
    assert found.verdict == "close-wait"
    assert any("500 B wait unread" in line for line in found.evidence)
    assert found.advice[0].text.startswith("find out why it does not read")


def test_costs_are_in_the_user_s_unit() -> None:
    assert CASES["bufferbloat"]().cost == "40 ms more on every round trip through it"
    assert CASES["local-queue"]().cost == "40 ms more on every round trip"
    for verdict in ("loss", "send-buffer", "slow-reader"):
        assert (CASES[verdict]().cost or "").endswith("now")
    for verdict in ("path-rate", "application-limited", "slow-start"):
        assert CASES[verdict]().cost is None  # nothing that could be had
    assert "wait unread" in (CASES["local-slow-reader"]().cost or "")
    assert "at most" in (CASES["pacing-cap"]().cost or "")
