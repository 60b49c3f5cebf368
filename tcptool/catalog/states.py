"""The small enumerations of TCP: states, congestion states, timers, negotiated options.

Each table maps the kernel's number to the word used everywhere in tcptool, and each word
to its meaning.  A number the table does not know keeps its number: ``unknown-13``.

Sources: include/net/tcp_states.h, include/uapi/linux/tcp.h, net/ipv4/inet_diag.c, Linux 6.18.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """One value of an enumeration: its word and what it means."""

    word: str
    doc: str


TCP_STATES: Final = {
    1: Meaning("established", "both sides may send; the normal state of a connection"),
    2: Meaning(
        "syn-sent", "a SYN was sent and its answer is awaited; staying here means nobody answers"
    ),
    3: Meaning("syn-recv", "a SYN was answered and the last step of the handshake is awaited"),
    4: Meaning("fin-wait-1", "this side closed first; the peer has not yet acknowledged our FIN"),
    5: Meaning("fin-wait-2", "our FIN was acknowledged; the peer has not closed its side yet"),
    6: Meaning(
        "time-wait",
        "closed by both; kept for 60 s against late segments. No descriptor, no tcp_info",
    ),
    7: Meaning("close", "not connected: fresh, or aborted (the counters stay readable)"),
    8: Meaning(
        "close-wait",
        "the peer closed; this program has not yet. Staying here is this program's bug",
    ),
    9: Meaning("last-ack", "both closed; the peer's acknowledgement of our FIN is awaited"),
    10: Meaning("listen", "waiting for connections"),
    11: Meaning("closing", "both closed at the same time; our FIN is not acknowledged yet"),
    12: Meaning(
        "new-syn-recv", "a connection request in the handshake, before it has a socket of its own"
    ),
    13: Meaning("bound-inactive", "bound to a port, neither listening nor connected"),
}

CA_STATES: Final = {
    0: Meaning("open", "nothing suspicious: no loss, no reordering seen"),
    1: Meaning("disorder", "duplicate acknowledgements or SACKs arrived; loss is possible"),
    2: Meaning("cwr", "the window is being reduced after ECN or local congestion, without loss"),
    3: Meaning(
        "recovery", "loss was found by duplicate acknowledgements; fast retransmit is under way"
    ),
    4: Meaning("loss", "a retransmission timeout fired; everything in flight is taken as lost"),
}

TIMERS: Final = {
    0: Meaning("off", "no timer is running"),
    1: Meaning("retransmit", "unacknowledged data waits for retransmission or a tail-loss probe"),
    2: Meaning(
        "keepalive", "idle; the next keepalive probe (or, before accept, the SYN-ACK) is due"
    ),
    3: Meaning("time-wait", "the remaining time in TIME_WAIT, or in FIN_WAIT2 as an orphan"),
    4: Meaning("persist", "the peer's window is closed; the next window probe is due"),
    5: Meaning("delayed-ack", "an acknowledgement is being held back for a moment"),
}

TCPI_OPTIONS: Final = {
    1: Meaning("timestamps", "RFC 7323 timestamps on every segment: 12 bytes, better rtt, PAWS"),
    2: Meaning("sack", "selective acknowledgement: the receiver names what arrived out of order"),
    4: Meaning("wscale", "window scaling: windows above 65 535 bytes are possible"),
    8: Meaning("ecn", "explicit congestion notification was negotiated"),
    16: Meaning("ecn-seen", "at least one segment arrived with an ECN codepoint"),
    32: Meaning("syn-data", "data in our SYN was acknowledged (TCP Fast Open)"),
    64: Meaning("usec-timestamps", "timestamps count microseconds (6.7)"),
    128: Meaning("fast-open-child", "accepted through TCP Fast Open (6.16)"),
}

FASTOPEN_FAILURES: Final = {
    0: Meaning("none", "no failure is recorded"),
    1: Meaning("cookie-unavailable", "no Fast Open cookie for this server was cached"),
    2: Meaning("data-not-acked", "the SYN was acknowledged, the data in it was not"),
    3: Meaning("syn-retransmitted", "the SYN with data got no answer and was sent again without"),
}

SHUTDOWNS: Final = {
    1: Meaning("receive", "receiving was shut down: reads give end of file"),
    2: Meaning("send", "sending was shut down: a FIN follows the queued data"),
}

FAMILIES: Final = {2: Meaning("ipv4", "AF_INET"), 10: Meaning("ipv6", "AF_INET6")}

ESTABLISHED: Final = 1
TIME_WAIT: Final = 6
CLOSE: Final = 7
LISTEN: Final = 10


def word(table: dict[int, Meaning], number: int) -> str:
    """The word for ``number``; an unknown number keeps itself."""
    known = table.get(number)
    return known.word if known else f"unknown-{number}"


def words(table: dict[int, Meaning], bits: int) -> tuple[str, ...]:
    """The words of the set bits, lowest first; unknown bits keep their number."""
    return tuple(word(table, 1 << i) for i in range(bits.bit_length()) if bits >> i & 1)


def number(table: dict[int, Meaning], wanted: str) -> int | None:
    """The kernel's number for a word, or None."""
    return next((value for value, meaning in table.items() if meaning.word == wanted), None)
