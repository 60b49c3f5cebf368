"""What `listeners` judges by: thresholds, causes, and the counters and settings beside them.

The queues: a SYN waits in the SYN queue until the handshake is done, the connection then in the
accept queue until the program calls accept().  Both are limited by what listen() was given, cut
to net.core.somaxconn at that moment.  Sources: sk_acceptq_is_full() in include/net/sock.h,
inet_csk_reqsk_queue_is_full() in include/net/inet_connection_sock.h, tcp_conn_request() in
net/ipv4/tcp_input.c, inet_csk_listen_start() in net/ipv4/inet_connection_sock.c, Linux 6.18; and
measurements on it.
"""

from __future__ import annotations

from typing import Final

NEAR_FULL_PERCENT: Final = 75
"""A queue that is nearly used up: the share at which bpftune (Oracle) takes a buffer for full."""

FLOOD_COOKIES_PERCENT: Final = 10
"""Where fewer of the SYN cookies come back, their senders are hardly real: ours, from the rule
that a client answers a SYN-ACK within a round trip, and a spoofed address never does."""

FLOOD_COOKIES_LEAST: Final = 100
"""Fewer cookies than this are no flood, and too few for such a share to mean something."""

MOST_BACKLOG: Final = 65_535
"""The longest queue that is suggested: what sk_max_ack_backlog could hold while it had 16 bits
(5f671d6b4ec3, Linux 3.12).  Each waiting connection is a whole socket of some 2.5 KiB."""

SAMPLE_S: Final = 0.1
"""Time between two looks at the accept queues.  A look takes 2 ms for ten listeners, most of it the
kernel's walk through its table of them, and 20 ms for a thousand (measured, Linux 6.18)."""

LOOK_SHARE: Final = 10
"""Where looks take longer there are fewer: no more than a tenth of the time is spent on them."""

SYN_RETRY_S: Final = 1.0
"""TCP_TIMEOUT_INIT: a client whose SYN was dropped sends it again after this time, and each try
counts as a drop.  So the drops of one second are about the clients that found no room."""

NOT_ACCEPTING: Final = "not-accepting"
BURST: Final = "burst"
NEAR_FULL: Final = "near-full"
SYN_QUEUE: Final = "syn-queue"
OTHER_DROPS: Final = "other-drops"
DROPPED_BEFORE: Final = "dropped-before"
DISCARDED: Final = "discarded"
DEFERRED: Final = "deferred"
UNEVEN: Final = "uneven"
OVERFLOW: Final = "overflow"
SMALL_BACKLOG: Final = "small-backlog"
FLOOD: Final = "flood"
SYN_BURST: Final = "syn-burst"
UNKNOWN: Final = "unknown"
NONE: Final = "none"

CAUSES: Final = {
    NOT_ACCEPTING: "its accept queue was full at every look: the program does not accept, or "
    "more slowly than connections come",
    BURST: "its accept queue was full at times: the backlog is small for the bursts, or the "
    "program pauses",
    NEAR_FULL: "its accept queue was full to 75 % or more, and nothing was dropped now",
    SYN_QUEUE: "connections were dropped while the accept queue had room: its SYN queue was full",
    OTHER_DROPS: "connections were dropped, and no queue was full: no route back, a broadcast, "
    "memory, or a wrong SYN cookie",
    DISCARDED: "packets were discarded, and no connection was lost by a queue: a packet filter on "
    "the socket, or a signature",
    DROPPED_BEFORE: "it has dropped connections since it began to listen, but none now",
    DEFERRED: "its drops may be handshakes that TCP_DEFER_ACCEPT held back for their data, which "
    "loses nothing; --options tells",
    UNEVEN: "one member of a SO_REUSEPORT group is full while another has room",
    OVERFLOW: "an accept queue of this network namespace overflowed, of a listener that is not "
    "shown here",
    SMALL_BACKLOG: "SYN cookies were sent while accept queues overflowed: the backlog is small, "
    "it is no attack",
    FLOOD: "SYN cookies were sent and hardly any came back: probably a SYN flood",
    SYN_BURST: "a SYN queue was full for a while, and SYN cookies kept its clients going",
    UNKNOWN: "neither its backlog nor its drops can be read here",
    NONE: "nothing is wrong",
}
"""Why a listener, a group or the namespace is judged as it is, by the word in the report."""

OVERFLOWS: Final = "TcpExtListenOverflows"
LISTEN_DROPS: Final = "TcpExtListenDrops"
SYN_QUEUE_DROPS: Final = "TcpExtTCPReqQFullDrop"
COOKIES_SENT: Final = "TcpExtSyncookiesSent"
COOKIES_BACK: Final = "TcpExtSyncookiesRecv"
HELD_BACK: Final = "TcpExtTCPDeferAcceptDrop"

COUNTERS: Final = {
    OVERFLOWS: "connections that met a full accept queue",
    LISTEN_DROPS: "connections that a listener dropped, for that or any other reason",
    SYN_QUEUE_DROPS: "SYNs dropped because the SYN queue was full and cookies are off",
    "TcpExtTCPReqQFullDoCookies": "SYNs answered with a cookie because the SYN queue was full",
    COOKIES_SENT: "SYN cookies sent",
    COOKIES_BACK: "connections made from a SYN cookie that came back",
    "TcpExtSyncookiesFailed": "SYN cookies that came back wrong, or unasked",
    HELD_BACK: "handshakes that TCP_DEFER_ACCEPT held back until their data came: nothing is lost",
}
"""Counters of a network namespace, named as nstat(8) does, and what each counts."""

SOMAXCONN: Final = "net.core.somaxconn"
MAX_SYN_BACKLOG: Final = "net.ipv4.tcp_max_syn_backlog"
SYNCOOKIES: Final = "net.ipv4.tcp_syncookies"
ABORT_ON_OVERFLOW: Final = "net.ipv4.tcp_abort_on_overflow"

ALWAYS_COOKIES: Final = 2
"""tcp_syncookies=2 answers every SYN with a cookie, so that they say nothing about a queue."""
