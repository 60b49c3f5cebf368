"""What can hold a connection back: the verdicts of `diagnose`.

Each says what it means, how it is decided and what it is often mistaken for; `explain` prints it.
The thresholds that decide are in catalog/thresholds.py.

Sources: the chronographs of net/ipv4/tcp_output.c (Linux 4.10); Zhang, Breslau, Paxson and
Shenker, "On the characteristics and origins of Internet flow rates", SIGCOMM 2002 (the kinds of
limits); RFC 896 and RFC 9293, 3.7.4 (Nagle); RFC 4821 and RFC 2923 (MTU black holes).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tcptool.catalog.severity import Severity

UNCLEAR: Final = "unclear"


class Verdict(NamedTuple):
    """One verdict.  ``who`` must act: application, host, peer, path or nobody."""

    name: str
    headline: str
    severity: Severity
    who: str
    meaning: str
    decided: str
    pitfall: str = ""


_ALL: Final = (
    Verdict(
        "closed",
        "there is no connection any more",
        Severity.OK,
        "nobody",
        "This side has closed, or was never connected. The kernel may keep the addresses for a "
        "minute (TIME-WAIT, or FIN-WAIT-2 without a descriptor), which slows nothing down.",
        "state time-wait, close, or fin-wait-2 without a descriptor",
        "tcp_fin_timeout does not shorten TIME-WAIT.",
    ),
    Verdict(
        "listener-overflow",
        "the accept queue is full: clients wait for an application that does not accept",
        Severity.FAIL,
        "application",
        "More connections have finished their handshake than the listener's backlog holds. "
        "Clients believe that they are connected, and get no answer.",
        "drops that rise beside a queue that is 75 % full; where drops are not told, accept_queue "
        "> backlog in half of the samples",
        "tcp_max_syn_backlog is another queue, and tcp_abort_on_overflow is no cure.",
    ),
    Verdict(
        "listener-filling",
        "the accept queue is full or nearly so, and nothing was dropped",
        Severity.WARN,
        "application",
        "A little more load, or one slow moment, and connections are dropped; where it is full, "
        "the next one.",
        "accept_queue >= 75 % of backlog + 1 in a sample",
    ),
    Verdict(
        "listening",
        "the listener has room in its accept queue",
        Severity.OK,
        "nobody",
        "A listening socket carries no data; what matters is whether connections wait in it.",
        "state listen, and accept_queue below 75 % of backlog + 1",
    ),
    Verdict(
        "handshake-unanswered",
        "the handshake gets no answer",
        Severity.FAIL,
        "path",
        "SYNs (or SYN-ACKs) are sent again and again: dropped by a firewall, lost on the path, "
        "or the other host is down. A closed port would have refused at once.",
        "state syn-sent or syn-recv, and the retransmission timer has fired",
    ),
    Verdict(
        "close-wait",
        "the peer has closed, and this application has not",
        Severity.WARN,
        "application",
        "The peer's FIN arrived, nothing is being sent any more, and the descriptor is still "
        "open: the application forgot to close it. Such sockets pile up until descriptors run out.",
        "state close-wait, nothing in the queues or moving, and no data for more than 5 s",
        "No sysctl ends CLOSE-WAIT: only close() does.",
    ),
    Verdict(
        "dead-peer",
        "the peer answers no probes",
        Severity.FAIL,
        "path",
        "Keepalive or window probes go out and nothing comes back: the peer has gone, or a "
        "middlebox has forgotten the connection.",
        "probes >= 1 for longer than a round trip with nothing in flight, or >= 2, or no "
        "answer for twice the time between two probes, while the window is 0",
        "Answered probes do not count here: the kernel sets the number back to 0.",
    ),
    Verdict(
        "zero-window",
        "the peer has closed its window: its application does not read",
        Severity.FAIL,
        "peer",
        "The peer is alive (it answers window probes) but its receive buffer is full and its "
        "application takes nothing out of it.",
        "snd_wnd = 0 (or the persist timer) in the last sample, data waits, and no byte was "
        "acknowledged during the samples",
    ),
    Verdict(
        "mtu-black-hole",
        "full-size segments vanish: an MTU black hole",
        Severity.FAIL,
        "path",
        "Small segments pass and large ones get no answer: a link with a smaller MTU, and the "
        "ICMP message that should say so is filtered.",
        "congestion state loss, no acknowledgement of new data, full-size segments in flight, and "
        "what was acknowledged before was small, or the peer is still heard",
        "From one end alone it cannot be told for certain from a path that died.",
    ),
    Verdict(
        "no-acks",
        "data is sent and nothing acknowledges it: the path or the peer is dead",
        Severity.FAIL,
        "path",
        "Retransmission timeouts follow one another, each twice as long. Keepalive does not run "
        "while data is in flight: only the retransmission limit (15 minutes by default) or "
        "TCP_USER_TIMEOUT ends it.",
        "congestion state loss, 2 timeouts or more in a row, and nothing acknowledged since",
    ),
    Verdict(
        "idle",
        "nothing is being sent or received",
        Severity.OK,
        "nobody",
        "No byte moved in either direction and the queues are empty.",
        "no change of acked_bytes and received_bytes, queues empty",
    ),
    Verdict(
        "corked",
        "data is held back by TCP_CORK or MSG_MORE",
        Severity.WARN,
        "application",
        "The tail of a message waits until it fills a segment, or until a timer as long as the "
        "retransmission timeout (200 ms and more) fires.",
        "in 20 % of the samples or more 0 < notsent < mss although window and cwnd have room; "
        "mostly with nothing in flight",
        "tcp(7) says 200 ms; it is the retransmission timeout, so longer on a long path.",
    ),
    Verdict(
        "nagle",
        "small writes wait for acknowledgements: Nagle, and the peer's delayed ACK",
        Severity.WARN,
        "application",
        "A message was written in pieces. Nagle's algorithm holds the second piece until the "
        "first is acknowledged, and the peer delays that acknowledgement by up to 40 ms.",
        "in 20 % of the samples or more 0 < notsent < mss although window and cwnd have room, with "
        "a segment in flight; segments are small, or it is 50 % and more",
        "TCP_NODELAY does not switch the peer's delayed ACK off; writing once avoids both.",
    ),
    Verdict(
        "pacing-cap",
        "the sender is paced to SO_MAX_PACING_RATE",
        Severity.WARN,
        "application",
        "Somebody set a limit on this socket's rate, and it is reached.",
        "max_pacing_rate is finite, pacing_rate >= 95 % of it, and goodput is near it",
    ),
    Verdict(
        "slow-reader",
        "the peer's application reads too slowly",
        Severity.WARN,
        "peer",
        "The peer's receive buffer fills, so it advertises less than it once did.",
        "the receive window limits the sender, and it moves, reaches 0, or is far below what "
        "cwnd shows it has been; with both ends here, the peer's receive queue decides",
        "A larger buffer at the peer only hides it.",
    ),
    Verdict(
        "peer-buffer",
        "the peer's receive window is too small for this path",
        Severity.WARN,
        "peer",
        "The peer reads what arrives, but lets no more than one small window be in flight.",
        "the receive window limits the sender, and it does not move",
        "rcv_space is not the window.",
    ),
    Verdict(
        "send-buffer",
        "the send buffer is too small for this path",
        Severity.WARN,
        "application",
        "The application could write more, and the kernel does not take it: what is "
        "unacknowledged fills the send buffer.",
        "sndbuf_limited >= 30 % of busy time, or wmem_queued >= 2/3 of sndbuf with nothing unsent "
        "and a buffer that does not grow",
        "With cubic and reno sndbuf_limited can stay 0 for a socket that is limited by it.",
    ),
    Verdict(
        "application-limited",
        "the application does not send more",
        Severity.INFO,
        "application",
        "TCP could carry more and is given nothing: look at what the application waits for. "
        "There is nothing to tune in TCP.",
        "the app_limited bit in 50 % of the samples or more and less than a segment unsent",
        "busy_time counts unacknowledged data: a ping-pong over a long path is 99 % busy.",
    ),
    Verdict(
        "reordering",
        "segments arrive out of order, and are taken for lost",
        Severity.WARN,
        "path",
        "Several ways or queues carry the same connection, so later segments overtake earlier "
        "ones.",
        "reord_seen rises or what is retransmitted was needless (dsack_dups), and the delivery "
        "rate rises and falls",
        "Reordering on a path that is full all the same harms nobody.",
    ),
    Verdict(
        "loss",
        "packets are lost, and congestion control stays small because of it",
        Severity.WARN,
        "path",
        "The rate is what the loss rate and the round trip allow this congestion control.",
        "retransmissions >= 0.1 % of the bytes, goodput below 2.5 times mss/rtt * 1.22/sqrt(p), "
        "and a delivery rate that rises and falls with cwnd",
        "A count of retransmissions alone says nothing: the share decides.",
    ),
    Verdict(
        "path-rate-with-loss",
        "the path carries what it can, and loses packets doing so",
        Severity.WARN,
        "path",
        "The rate is well above what loss alone would allow: a full bottleneck with a short queue "
        "or a congestion control that does not mind the loss.",
        "retransmissions >= 0.3 % of the bytes, and a full bottleneck (an even delivery "
        "rate, a queue that never empties) or a goodput above the loss model's",
    ),
    Verdict(
        "local-queue",
        "packets wait in a queue of this host",
        Severity.WARN,
        "host",
        "What is in flight has not left this machine: a qdisc that shapes, or a slow interface.",
        "wmem_alloc holds half of what is in flight, or more, while more waits to be sent",
    ),
    Verdict(
        "bufferbloat",
        "packets wait in a long queue on the path",
        Severity.WARN,
        "path",
        "The sender fills a queue before the bottleneck; every connection through it waits.",
        "rtt >= 2 * min_rtt and rtt - min_rtt >= 20 ms",
        "Ordinary cubic shows 1.3 to 1.6 times min_rtt.",
    ),
    Verdict(
        "slow-start",
        "the connection is still in slow start",
        Severity.INFO,
        "application",
        "It has not lived long enough to reach the path's rate; short transfers never do.",
        "ssthresh was never set and cwnd grew by more than 20 %; with bbr the startup gain",
    ),
    Verdict(
        "path-rate",
        "the sender is healthy: the path gives no more",
        Severity.OK,
        "nobody",
        "The congestion window is used up without much loss or queueing.",
        "in flight >= 90 % of cwnd, or goodput near pacing_rate",
    ),
    Verdict(
        "local-slow-reader",
        "this application reads too slowly",
        Severity.WARN,
        "application",
        "Data waits in the receive queue of this host, so the window that it offers shrinks.",
        "rmem_alloc >= 40 % of rcvbuf, or the window is below 60 % of what it was",
    ),
    Verdict(
        "local-buffer",
        "this side's receive window is too small for the path",
        Severity.WARN,
        "host",
        "The application reads at once, and the peer may not have more in flight.",
        "received bytes per rcv_rtt >= 75 % of rcv_wnd, with an empty receive queue",
    ),
    Verdict(
        "not-limited-here",
        "this side receives, and does not hold the sender back",
        Severity.OK,
        "peer",
        "The receive queue is empty and the window is wide: the sender or the path decides.",
        "mostly receiving, and neither of the two verdicts before",
    ),
    Verdict(
        UNCLEAR,
        "nothing stands out",
        Severity.INFO,
        "nobody",
        "No test fits well enough to say so.",
        "no verdict reaches a confidence of 0.5",
    ),
)

VERDICTS: Final = {one.name: one for one in _ALL}
