"""Counters of /proc/net that `doctor` reads: what each counts, and what it does not say.

Names are those of nstat(8): the protocol of the line in /proc/net/snmp or netstat, then the
counter.  All count events since the network namespace was made, over IPv4 and IPv6.

Sources: Documentation/networking/snmp_counter.rst; net/ipv4/proc.c and where each is incremented,
Linux 6.18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """One counter.  A pitfall says what it is mistaken for."""

    name: str
    doc: str
    pitfall: str = ""

    @property
    def place(self) -> str:
        """File, line and name, as a person finds it: ``/proc/net/netstat TcpExt ListenDrops``."""
        protocol = next(p for p in ("TcpExt", "Tcp", "Ip") if self.name.startswith(p))
        file = "netstat" if protocol == "TcpExt" else "snmp"
        return f"/proc/net/{file} {protocol} {self.name.removeprefix(protocol)}"


_ALL: Final = (
    Counter(name="TcpOutSegs", doc="segments sent, retransmissions not counted"),
    Counter(name="TcpInSegs", doc="segments received, faulty ones too"),
    Counter(
        name="TcpRetransSegs",
        doc="segments sent again",
        pitfall="a number alone says nothing: compare it with TcpOutSegs",
    ),
    Counter(name="TcpActiveOpens", doc="connections that this host began"),
    Counter(name="TcpPassiveOpens", doc="connections that this host took"),
    Counter(
        name="TcpAttemptFails",
        doc="handshakes that failed: refused, reset or given up",
        pitfall="of both directions",
    ),
    Counter(
        name="TcpEstabResets",
        doc="connections that ended with a reset",
        pitfall="programs end connections so on purpose, too",
    ),
    Counter(
        name="TcpOutRsts",
        doc="resets sent",
        pitfall="a connection request to a closed port gets one",
    ),
    Counter(name="TcpInCsumErrors", doc="segments with a wrong checksum"),
    Counter(name="IpInDiscards", doc="packets dropped for want of memory"),
    Counter(name="IpReasmFails", doc="fragmented packets that could not be put together"),
    Counter(name="TcpExtTCPTimeouts", doc="retransmission timeouts"),
    Counter(name="TcpExtTCPSpuriousRTOs", doc="timeouts that F-RTO found to be mistaken"),
    Counter(name="TcpExtTCPDSACKRecv", doc="reports from peers that a segment came twice"),
    Counter(name="TcpExtTCPSACKReorder", doc="reorderings noticed by selective acknowledgements"),
    Counter(name="TcpExtTCPSynRetrans", doc="connection requests, or their answers, sent again"),
    Counter(
        name="TcpExtTCPAbortOnMemory",
        doc="connections reset for want of memory, or because there were too many orphans",
    ),
    Counter(
        name="TcpExtTCPAbortOnTimeout",
        doc="connections given up after retransmissions, probes or keepalives without an answer",
    ),
    Counter(
        name="TcpExtTCPAbortOnClose",
        doc="connections reset because a program closed them with data unread",
    ),
    Counter(
        name="TcpExtTCPAbortOnData",
        doc="connections reset because data came after close()",
        pitfall="SO_LINGER of 0 counts here as well",
    ),
    Counter(
        name="TcpExtTCPAbortOnLinger",
        doc="connections reset because FIN_WAIT2 lasted longer than TCP_LINGER2",
    ),
    Counter(
        name="TcpExtListenOverflows",
        doc="connections that found the accept queue full",
        pitfall="the client retries, and sees delays of 1 s and more",
    ),
    Counter(
        name="TcpExtListenDrops",
        doc="connection requests dropped by a listener for any reason",
        pitfall="contains ListenOverflows",
    ),
    Counter(name="TcpExtSyncookiesSent", doc="connection requests answered with a SYN cookie"),
    Counter(name="TcpExtSyncookiesRecv", doc="valid cookies that came back: real clients"),
    Counter(name="TcpExtSyncookiesFailed", doc="acknowledgements that were no valid cookie"),
    Counter(
        name="TcpExtTCPReqQFullDoCookies",
        doc="connection requests that found the request queue full and got a cookie",
    ),
    Counter(
        name="TcpExtTCPReqQFullDrop",
        doc="connection requests that found the request queue full and were dropped",
    ),
    Counter(
        name="TcpExtTCPMemoryPressures", doc="times that all of TCP came under memory pressure"
    ),
    Counter(name="TcpExtTCPMemoryPressuresChrono", doc="milliseconds spent under memory pressure"),
    Counter(
        name="TcpExtPruneCalled",
        doc="times that a receive buffer was full and its data was squeezed together",
    ),
    Counter(
        name="TcpExtRcvPruned", doc="times that squeezing did not help and segments were dropped"
    ),
    Counter(
        name="TcpExtOfoPruned", doc="times that out-of-order data was dropped from a full buffer"
    ),
    Counter(
        name="TcpExtTCPRcvCollapsed",
        doc="segments copied together to save memory",
        pitfall="on buffers of 64 MiB and more it stalls the CPU for milliseconds",
    ),
    Counter(
        name="TcpExtTCPBacklogDrop",
        doc="segments dropped because the backlog of a socket in use was full",
    ),
    Counter(name="TcpExtTCPRcvQDrop", doc="segments dropped because the receive buffer was full"),
    Counter(
        name="TcpExtTCPZeroWindowDrop", doc="segments dropped that came in spite of a closed window"
    ),
    Counter(
        name="TcpExtTCPTimeWaitOverflow",
        doc="connections closed without TIME_WAIT: there were too many",
    ),
    Counter(name="TcpExtTCPFromZeroWindowAdv", doc="times that a closed window was opened again"),
    Counter(
        name="TcpExtTCPToZeroWindowAdv",
        doc="times that a window was closed: a local program did not read",
    ),
    Counter(
        name="TcpExtTCPWantZeroWindowAdv",
        doc="times that a window would have been closed if it could have been shrunk",
    ),
    Counter(
        name="TcpExtTCPFastOpenActiveFail",
        doc="Fast Open attempts of this host whose data was not taken",
    ),
    Counter(name="TcpExtTCPFastOpenPassiveFail", doc="Fast Open attempts of clients that failed"),
    Counter(
        name="TcpExtTCPFastOpenListenOverflow",
        doc="Fast Open attempts beyond the limit of the listener",
    ),
    Counter(
        name="TcpExtTCPFastOpenBlackhole",
        doc="times that Fast Open was switched off because something drops it",
    ),
    Counter(name="TcpExtTCPDeliveredCE", doc="segments delivered with a congestion mark"),
    Counter(name="TcpExtPAWSEstab", doc="segments dropped because their timestamp was old"),
    Counter(
        name="TcpExtPAWSTimewait",
        doc="connection requests refused by a TIME_WAIT socket because of their timestamp",
        pitfall="clients that share an address (NAT) meet this",
    ),
    Counter(
        name="TcpExtTSEcrRejected",
        doc="segments dropped because they echo a timestamp that was never sent",
    ),
    Counter(
        name="TcpExtTCPChallengeACK", doc="challenge acknowledgements sent on suspect segments"
    ),
)

COUNTERS: Final = {one.name: one for one in _ALL}
"""Every counter by its name, in the order of ``explain``."""
