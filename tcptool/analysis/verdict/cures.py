"""What each verdict costs, and what can be done about it: by whom, with which command, since when.

What takes effect on a live connection was measured on Linux 6.18 (tests/lab/test_tuning.py, and
tests/lab/test_diagnose.py with the commands that stand here).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from tcptool.analysis.listeners import backlog_for
from tcptool.analysis.verdict.case import Case, micros, rate, size
from tcptool.analysis.verdict.receiver import is_at_scale_limit
from tcptool.analysis.verdict.sender import is_locked
from tcptool.catalog import thresholds as limits
from tcptool.model.diagnosis import Advice
from tcptool.model.observation import Reach

NOW: Final = "now"
NEW: Final = "new-connections"
_UNDO: Final = "tcptool undo --last"
_MOST: Final = (1 << 31) - 1
"""What an int of listen() and setsockopt() holds."""


class Cure(NamedTuple):
    """What the trouble costs, in the user's unit, and what to do."""

    cost: str | None
    advice: tuple[Advice, ...]


def cure_of(verdict: str, case: Case) -> Cure:
    """The cure; nothing for a connection that is well."""
    made = _CURES.get(verdict)
    return made(case) if made else Cure(None, ())


def command(verb: str, reach: Reach, words: str = "", *, right: bool = True) -> str:
    """A command line on the socket; ``right`` is whether this user may do it."""
    parts = ["" if right else "sudo", "tcptool", verb, reach.handle, words]
    if reach.netns is not None:
        parts.append(f"--netns {shlex.quote(reach.netns)}")
    return " ".join(filter(None, parts))


def _apply(
    case: Case, words: str, text: str, *, reach: Reach | None = None, who: str = "socket"
) -> Advice:
    """Options to set on the socket, or on the one of ``reach``; only said where none can be."""
    to, right = reach or case.seen.reach, True
    if not to.held or not case.seen.live:
        return Advice(who=who, text=f"{text} ({words})")
    if not to.permitted or _needs_right(case, words):
        right = False
    return Advice(
        who=who,
        text=text,
        command=command("apply", to, words, right=right),
        undo=_UNDO if right else f"sudo {_UNDO}",
        takes_effect=NOW,
    )


def _needs_right(case: Case, words: str) -> bool:
    """Whether an ordinary user may not choose this congestion control."""
    name, _, value = words.partition("=")
    allowed = case.seen.around.allowed_congestion_controls
    return name == "congestion" and bool(allowed) and value not in allowed


def _as_root(case: Case, line: str) -> str | None:
    """The command for the socket's own namespace; None where no process leads there."""
    around = case.seen.around
    if not case.seen.live:
        return None
    if not around.elsewhere:
        return f"sudo {line}"
    if around.inside_pid is None:
        return None
    return f"sudo nsenter --target {around.inside_pid} --net {line}"


def _sysctl(case: Case, name: str, place: int, wanted: int, text: str, effect: str) -> Advice:
    """Raise one number of a sysctl with three, and how to put it back."""
    known = [case.limit(f"{name}[{n}]") for n in range(3)]
    numbers = [str(n) for n in known if n is not None]
    if len(numbers) < len(known):  # one number alone would become the smallest size
        return Advice(who="host", text=f"{text} ({name})", takes_effect=effect)
    old = " ".join(numbers)
    numbers[place] = str(wanted)
    new = " ".join(numbers)
    return Advice(
        who="host",
        text=text,
        command=_as_root(case, f'sysctl -w {name}="{new}"'),
        undo=_as_root(case, f'sysctl -w {name}="{old}"'),
        takes_effect=effect,
    )


# -- listeners and handshakes --------------------------------------------------------------


def _listener(case: Case) -> Cure:
    waiting = max((one.socket.accept_queue or 0 for one in case.seen.readings), default=0)
    backlog, dropped = case.last.backlog or 0, case.own.dropped or 0
    wanted = min(max(backlog_for(waiting, dropped, backlog), backlog + 1), _MOST)
    advice = [
        Advice(
            who="application",
            text="accept faster: more workers, or less work between two accept() calls; then give "
            "listen() a larger backlog, so that it stays",
        )
    ]
    most = case.limit("net.core.somaxconn")
    if most is not None and wanted > most:
        advice.append(
            Advice(
                who="host",
                text="first, because net.core.somaxconn cuts every backlog when listen() is called",
                command=_as_root(case, f"sysctl -w net.core.somaxconn={wanted}"),
                undo=_as_root(case, f"sysctl -w net.core.somaxconn={most}"),
            )
        )
    text = f"room for a burst of {wanted}, until the application is mended"
    advice.append(_apply(case, f"backlog={wanted}", text))
    cost = "clients believe that they are connected, and wait" if waiting > backlog else None
    return Cure(cost, tuple(advice))


def _handshake(case: Case) -> Cure:
    attempts = max(case.info.retransmits or 0, case.last.timer_retransmits) + 1
    cost = f"nothing is connected yet, after {attempts} attempts"
    if case.listener and case.seen.other_reach:
        text = "the listener is on this host: see whether its application accepts"
        look = command("listeners", case.seen.other_reach) if case.seen.live else None
        return Cure(cost, (Advice(who="application", text=text, command=look),))
    text = (
        "check the address, the route and firewalls on the way; a server whose accept queue is "
        "full drops SYNs too (tcptool listeners, there)"
    )
    return Cure(cost, (Advice(who="path", text=text),))


def _close_wait(case: Case) -> Cure:
    text = "close the descriptor when recv() returns 0; no sysctl ends CLOSE-WAIT"
    if case.unread_bytes:
        text = f"find out why it does not read what waits; then {text}"
    return Cure(
        "one descriptor, for as long as the process lives", (Advice(who="application", text=text),)
    )


# -- silence -------------------------------------------------------------------------------


def _dead(case: Case) -> Cure:
    advice = [
        Advice(who="application", text="give up after a time of its own, and connect anew"),
    ]
    if not case.option("TCP_USER_TIMEOUT"):
        text = "end it when nothing was acknowledged for 30 s, instead of some 15 minutes"
        advice.append(_apply(case, "user_timeout=30s", text))
    waiting = case.last.send_queue_bytes
    return Cure(f"{size(waiting)} wait to be acknowledged" if waiting else None, tuple(advice))


def _zero_window(case: Case) -> Cure:
    advice = [
        Advice(
            who="peer",
            text="find out why the peer's application does not read: it is blocked, overloaded or "
            "waits for us",
            command=_other(case, "diagnose"),
        )
    ]
    if not case.option("TCP_USER_TIMEOUT"):
        text = "or end it when the peer has read nothing for 2 min"
        advice.append(_apply(case, "user_timeout=2m", text))
    return Cure(f"{size(case.info.notsent_bytes)} wait", tuple(advice))


def _mtu(case: Case) -> Cure:
    probing = case.limit("net.ipv4.tcp_mtu_probing")
    advice = [
        Advice(
            who="path",
            text="let ICMP 'fragmentation needed' (IPv6: 'packet too big') pass, or clamp the MSS "
            "where the MTU shrinks",
        )
    ]
    if probing == 0:
        text = "let TCP search for a size that passes after a few timeouts; open connections too"
        advice.append(
            Advice(
                who="host",
                text=text,
                command=_as_root(case, "sysctl -w net.ipv4.tcp_mtu_probing=1"),
                undo=_as_root(case, "sysctl -w net.ipv4.tcp_mtu_probing=0"),
                takes_effect=NOW,
            )
        )
    return Cure("nothing large gets through", tuple(advice))


def _idle(case: Case) -> Cure:
    if case.option("SO_KEEPALIVE") is not False:
        return Cure(None, ())
    text = (
        "only if it has to outlive idle time: NATs and load balancers forget idle connections "
        "after 4 to 6 minutes, and keepalive is off"
    )
    return Cure(None, (_apply(case, "keepalive=1 keepidle=180", text),))


# -- sender --------------------------------------------------------------------------------


def _nagle(case: Case) -> Cure:
    wait = "" if case.own.held_ms is None else f"about {case.own.held_ms:.0f} ms for each message"
    return Cure(
        wait or None,
        (
            Advice(
                who="application",
                text="write each message at once: writev() or sendmsg(), or MSG_MORE on all but "
                "the last part",
            ),
            _apply(case, "nodelay=1", "send every write at once, whatever is in flight"),
        ),
    )


def _corked(case: Case) -> Cure:
    wait = "" if case.own.held_ms is None else f"about {case.own.held_ms:.0f} ms for each message"
    advice = [
        Advice(
            who="application",
            text="uncork after each message (TCP_CORK 0), and leave MSG_MORE off the last part",
        )
    ]
    if case.option("TCP_CORK") is not False:
        advice.append(_apply(case, "cork=0", "take the cork out; what is held goes at once"))
    else:
        advice.append(
            Advice(
                who="application",
                text="TCP_CORK is 0, so it is MSG_MORE (or splice's): no "
                "option changes that from outside",
            )
        )
    return Cure(wait or None, tuple(advice))


def _pacing(case: Case) -> Cure:
    text = "lift the cap, if it is not meant"
    return Cure(
        f"{rate(case.own.goodput_bytes_per_s)} at most",
        (_apply(case, "max_pacing_rate=unlimited", text),),
    )


def _slow_reader(case: Case) -> Cure:
    text = (
        "read faster: a thread of its own, larger reads, less work between them; a larger buffer "
        "only hides it"
    )
    return Cure(_at(case), (Advice(who="peer", text=text, command=_other(case, "inspect")),))


def _other(case: Case, verb: str) -> str | None:
    """A look at the other end, if it is here."""
    reach = case.seen.other_reach
    return command(verb, reach) if reach is not None and case.seen.live else None


def _peer_buffer(case: Case) -> Cure:
    own = case.own
    top = f"; this window carries {rate(_window_rate(case))} at most at this round trip"
    advice = [
        Advice(
            who="peer",
            text="do not set SO_RCVBUF there (the kernel tunes it), raise net.ipv4.tcp_rmem[2] for "
            "new connections; nothing at this end helps",
        )
    ]
    reach, other = case.seen.other_reach, case.other
    words = _wider(case, own.snd_wnd_bytes, other.rcvbuf_bytes) if other is not None else None
    if reach is not None and words is not None:
        text = "the peer is here: widen its buffer and window, as far as its scale allows"
        advice.append(_apply(case, words, text, reach=reach, who="peer"))
    return Cure(_at(case) + top, tuple(advice))


def _wider(case: Case, window_bytes: float | None, rcvbuf_bytes: float | None) -> str | None:
    """What gives a receive buffer four times the window; None where that is no gain.

    SO_RCVBUF is cut to net.core.rmem_max and doubled, and then the kernel tunes it no more.
    """
    most = case.limit("net.core.rmem_max")
    if not window_bytes or not rcvbuf_bytes or most is None:
        return None
    wanted = min(4 * window_bytes, most)
    if 2 * wanted < 1.5 * rcvbuf_bytes:
        return None
    return f"SO_RCVBUF={_rounded(wanted)} --also-clamp"


def _send_buffer(case: Case) -> Cure:
    own, most = case.own, case.limit("net.ipv4.tcp_wmem[2]")
    at_limit = most is not None and (own.sndbuf_bytes or 0) >= limits.NEARLY_FULL * most
    if is_locked(case, "send") or (case.option("SO_BUF_LOCK") is None and not at_limit):
        known = case.option("SO_BUF_LOCK") is not None
        text = "let the kernel tune the send buffer again" + (
            "" if known else ", if it was set by hand (SO_BUF_LOCK could not be read)"
        )
        # Setting the locks sets both: the other one stays as it is.
        lock = "receive" if is_locked(case, "receive") else "none"
        advice = [
            Advice(who="application", text="do not set SO_SNDBUF"),
            _apply(case, f"SO_BUF_LOCK={lock}", text),
        ]
    elif at_limit and most is not None:
        text = "let send buffers grow further; the largest that this path needs is not known"
        advice = [_sysctl(case, "net.ipv4.tcp_wmem", 2, 2 * most, text, NOW)]
    else:
        advice = [Advice(who="application", text="write more at a time, or without waiting")]
    return Cure(_at(case), tuple(advice))


def _application(case: Case) -> Cure:
    text = (
        "there is nothing to tune in TCP: see what the application waits for (CPU, lock, disk, "
        "upstream, the peer's answer); send requests without waiting for each answer"
    )
    return Cure(None, (Advice(who="application", text=text),))


def _loss(case: Case) -> Cure:
    advice = [
        Advice(
            who="path",
            text="find where packets are lost: interface errors, duplex, a policer, radio "
            "(tcptool doctor for this host)",
        )
    ]
    if case.congestion != "bbr":
        advice.append(_bbr(case, "bbr does not take loss for congestion"))
    return Cure(_at(case), tuple(advice))


def _full_path(case: Case) -> Cure:
    text = (
        "nothing, if that rate is what the path has: a bottleneck with a short queue drops what "
        "does not fit. Else look for drops and errors of the interfaces on the way"
    )
    return Cure(_at(case), (Advice(who="path", text=text),))


def _bbr(case: Case, why: str) -> Advice:
    text = f"{why}; it takes more than its share from others at a shallow queue"
    advice = _apply(case, "congestion=bbr", text)
    available = case.seen.around.congestion_controls
    if not advice.command or not available or "bbr" in available:
        return advice
    return replace(advice, command=f"sudo modprobe tcp_bbr && {advice.command}")


def _reordering(case: Case) -> Cure:
    text = "look for parallel links or queues that share one connection's packets (hash by flow)"
    return Cure(None, (Advice(who="path", text=text),))


def _bloat(case: Case) -> Cure:
    own = case.own
    queue_us = (own.rtt_us or 0) - (own.min_rtt_us or 0)
    advice = [
        Advice(who="path", text="fq_codel or cake at the bottleneck, or a shorter queue there"),
    ]
    if case.congestion != "bbr":
        advice.append(_bbr(case, "bbr leaves most of the queue empty"))
    advice.append(
        _apply(
            case, "notsent_lowat=128K", "keep little unsent data here, so that new data is young"
        )
    )
    return Cure(f"{micros(queue_us)} more on every round trip through it", tuple(advice))


def _local_queue(case: Case) -> Cure:
    own = case.own
    queue_us = (own.rtt_us or 0) - (own.min_rtt_us or 0)
    advice = (
        Advice(
            who="host",
            text="look at the qdisc that shapes or the interface that is slow",
            command=_as_root(case, "tc -s qdisc show"),
        ),
        _apply(
            case, "notsent_lowat=128K", "keep little unsent data here, so that new data is young"
        ),
    )
    return Cure(f"{micros(queue_us)} more on every round trip", advice)


def _slow_start(case: Case) -> Cure:
    text = "use connections again instead of new ones; a transfer this short ends before full speed"
    return Cure(None, (Advice(who="application", text=text),))


# -- receiver ------------------------------------------------------------------------------


def _local_slow_reader(case: Case) -> Cure:
    text = (
        "read faster: a thread of its own, larger reads, less work between them; a larger buffer "
        "only hides it"
    )
    return Cure(
        f"received {rate(case.own.received_bytes_per_s)}; {size(case.own.receive_queue_bytes)} "
        "wait unread",
        (Advice(who="application", text=text),),
    )


def _not_limited(case: Case) -> Cure:
    text = "the sender or the path decides: diagnose the sending socket"
    return Cure(None, (Advice(who="peer", text=text, command=_other(case, "diagnose")),))


def _local_buffer(case: Case) -> Cure:
    cost = f"received {rate(case.own.received_bytes_per_s)}, which is the window per round trip"
    if is_at_scale_limit(case):
        text = "connect anew without a small SO_RCVBUF: the window scale was fixed by the handshake"
        return Cure(cost, (Advice(who="application", text=text),))
    locked, most = is_locked(case, "receive"), case.limit("net.ipv4.tcp_rmem[2]")
    advice = []
    if locked:
        advice.append(Advice(who="application", text="do not set SO_RCVBUF: the kernel tunes it"))
    elif most is not None and (case.own.rcvbuf_bytes or 0) >= limits.NEARLY_FULL * most:
        text = "let receive buffers grow further"
        advice.append(_sysctl(case, "net.ipv4.tcp_rmem", 2, 2 * most, text, NEW))
    if words := _wider(case, case.own.rcv_wnd_bytes, case.own.rcvbuf_bytes):
        text = "widen the buffer and the window, as far as the scale of the handshake allows"
        advice.append(_apply(case, words, text))
    return Cure(cost, tuple(advice))


def _at(case: Case) -> str:
    return f"{rate(case.own.goodput_bytes_per_s)} now"


def _window_rate(case: Case) -> float | None:
    window, rtt_us = case.own.snd_wnd_bytes, case.own.rtt_us
    return window * 1e6 / rtt_us if window and rtt_us else None


def _rounded(wanted_bytes: float) -> str:
    """A size to type, in whole KiB."""
    return f"{max(int(min(wanted_bytes, _MOST) / 1024), 1)}K"


_CURES: Final[Mapping[str, Callable[[Case], Cure]]] = {
    "listener-overflow": _listener,
    "listener-filling": _listener,
    "handshake-unanswered": _handshake,
    "close-wait": _close_wait,
    "dead-peer": _dead,
    "zero-window": _zero_window,
    "mtu-black-hole": _mtu,
    "no-acks": _dead,
    "idle": _idle,
    "corked": _corked,
    "nagle": _nagle,
    "pacing-cap": _pacing,
    "slow-reader": _slow_reader,
    "peer-buffer": _peer_buffer,
    "send-buffer": _send_buffer,
    "application-limited": _application,
    "reordering": _reordering,
    "loss": _loss,
    "path-rate-with-loss": _full_path,
    "local-queue": _local_queue,
    "bufferbloat": _bloat,
    "slow-start": _slow_start,
    "local-slow-reader": _local_slow_reader,
    "local-buffer": _local_buffer,
    "not-limited-here": _not_limited,
}
