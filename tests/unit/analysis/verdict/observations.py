"""Observations made up from what their samples shall come to: medians, shares and rises.

``observation`` takes fields of the kernel's records; a number stands in every sample, a list is
spread over them.  ``sender`` makes such fields from what tables of measurements show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tcptool.analysis.verdict.judge import diagnose
from tcptool.catalog import thresholds as limits
from tcptool.catalog.attributes import BbrInfo, SocketMemory
from tcptool.catalog.registry import UNLIMITED, members
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.decode.structure import places
from tcptool.model.diagnosis import Diagnosis
from tcptool.model.observation import Observation, Reach, Reading, Surroundings
from tcptool.model.sock import Congestion, Endpoint, Socket

MIB: Final = 1 << 20
SAMPLES: Final = 201
LIMITS: Final = {
    "net.ipv4.tcp_rmem[0]": 4096,
    "net.ipv4.tcp_rmem[1]": 131_072,
    "net.ipv4.tcp_rmem[2]": 32 * MIB,
    "net.ipv4.tcp_wmem[0]": 4096,
    "net.ipv4.tcp_wmem[1]": 16_384,
    "net.ipv4.tcp_wmem[2]": 4 * MIB,
    "net.core.somaxconn": 4096,
    "net.core.rmem_max": 4 * MIB,
    "net.ipv4.tcp_mtu_probing": 0,
}
CONTROLS: Final = ("reno", "bbr", "cubic")
HERE, THERE = Endpoint("192.0.2.1", 443), Endpoint("198.51.100.7", 50_000)

Fields = Mapping[str, Any]


def sock(state: str = "established", **fields: Any) -> Socket:
    """A socket that says as little as the kernel may say."""
    basic: dict[str, Any] = {
        "protocol": "tcp",
        "family": "ipv4",
        "state": state,
        "local": HERE,
        "peer": THERE,
        "cookie": "1001",
        "inode": 7,
        "uid": 0,
        "ifindex": 0,
        "timer": "off",
        "timer_expires_ms": None,
        "timer_retransmits": 0,
        "receive_queue_bytes": 0,
        "send_queue_bytes": 0,
        "accept_queue": None,
        "backlog": None,
    }
    return Socket(**basic | fields)


def share(percent: float, yes: Any, no: Any, samples: int = SAMPLES) -> list[Any]:
    """``yes`` in so many of the samples, evenly spread, ``no`` in the others."""
    done = [int(i * percent / 100) for i in range(samples + 1)]
    return [yes if done[i + 1] > done[i] else no for i in range(samples)]


def readings(
    info: Fields | None = None,
    rise: Fields | None = None,
    memory: Fields | None = None,
    sock_fields: Fields | None = None,
    samples: int = SAMPLES,
    pace_s: float = limits.PACE_S,
    info_bytes: int | None = None,
) -> tuple[Reading, ...]:
    """Samples at an even pace; what is not named is absent.

    ``rise`` is by how much a counter grows from the first sample to the last.  A kernel with a
    tcp_info of ``info_bytes`` does not know the fields behind that.
    """

    def at(i: int) -> Socket:
        now = _at(info or {}, i, samples)
        for name, change in (rise or {}).items():
            if (start := now.get(name, 0)) is not None:
                now[name] = start + round(change * i / max(samples - 1, 1))
        if info_bytes is not None:
            now = {name: v for name, v in now.items() if places(TcpInfo)[name].end <= info_bytes}
        held = None if memory is None else SocketMemory(**_at(memory, i, samples))
        return sock(
            **{"tcp_info": TcpInfo(**now), "memory": held} | _at(sock_fields or {}, i, samples)
        )

    return tuple(Reading(i * pace_s, at(i)) for i in range(samples))


def _at(fields: Fields, i: int, samples: int) -> dict[str, Any]:
    return {
        name: value[i * len(value) // samples] if isinstance(value, list) else value
        for name, value in fields.items()
    }


def observed(
    own: Sequence[Reading],
    other: Sequence[Reading] = (),
    *,
    options: Fields | None = None,
    sysctls: Mapping[str, int] = LIMITS,
    controls: tuple[str, ...] = CONTROLS,
    allowed: tuple[str, ...] = (),
    load_percent: float | None = 10.0,
    elsewhere: bool = False,
    inside_pid: int | None = None,
    reach: Reach | None = None,
    other_reach: Reach | None = None,
    ended: bool = False,
    live: bool = True,
) -> Observation:
    """Readings with what is around them; the user may set options if ``options`` were read."""
    permitted = options is not None
    return Observation(
        reach=reach or Reach(handle="42:9", permitted=permitted),
        holders=(),
        other_reach=Reach(handle="43:4", permitted=permitted)
        if other and not other_reach
        else other_reach,
        ended=ended,
        live=live,
        readings=tuple(own),
        other_end=tuple(other),
        around=Surroundings(
            options=options,
            limits=sysctls,
            congestion_controls=controls,
            allowed_congestion_controls=allowed,
            load_percent=load_percent,
            elsewhere=elsewhere,
            inside_pid=inside_pid,
        ),
    )


def sender(
    *,
    congestion: str | None = "cubic",
    mbit: float = 10.0,
    rtt_ms: float = 20.0,
    min_rtt_ms: float = 20.0,
    low_rtt_ms: float | None = None,
    steady_percent: float | None = None,
    mss_bytes: int = 1448,
    segment_bytes: float | None = None,
    busy_percent: float = 100.0,
    rwnd_percent: float = 0.0,
    sndbuf_percent: float = 0.0,
    app_percent: float = 0.0,
    retrans_percent: float = 0.0,
    notsent_bytes: int = 0,
    held_percent: float | None = None,
    held_empty_percent: float = 0.0,
    cwnd_packets: int = 100,
    cwnd_used_percent: float = 50.0,
    snd_wnd_bytes: int | None = None,
    wnd_used_percent: float = 25.0,
    zero_window_percent: float = 0.0,
    pacing_over_delivery: float = 1.5,
    sndbuf_bytes: int = MIB,
    sndbuf_used_percent: float = 50.0,
    wmem_alloc_bytes: int = 0,
    info: Fields | None = None,
    rise: Fields | None = None,
    sock_fields: Fields | None = None,
    samples: int = SAMPLES,
    pace_s: float = limits.PACE_S,
    info_bytes: int | None = None,
) -> tuple[Reading, ...]:
    """An end that sends.  ``info``, ``rise`` and ``sock_fields`` come on top.

    ``rwnd_percent`` and ``sndbuf_percent`` are shares of the busy time.  ``low_rtt_ms`` is the
    round trip of the quickest samples, ``steady_percent`` the share of those with the usual rate.
    """
    duration_s = (samples - 1) * pace_s
    acked = mbit * 1e6 / 8 * duration_s
    sent = acked / (1 - retrans_percent / 100)
    again = sent - acked
    flying = round(cwnd_packets * cwnd_used_percent / 100)
    window: Any = snd_wnd_bytes
    if window is None:
        window = round(flying * mss_bytes * 100 / wnd_used_percent)
    if zero_window_percent:
        window = share(zero_window_percent, 0, window, samples)
    unsent: Any = notsent_bytes
    unacked: Any = flying
    if held_percent is not None:
        held = share(held_percent, True, False, samples)
        unsent = [notsent_bytes if one else 0 for one in held]
        empty = iter(share(held_empty_percent, True, False, samples))
        unacked = [0 if one and next(empty) else flying for one in held]
    busy = busy_percent / 100 * duration_s * 1e6
    made = {
        "ca_state": "open",
        "retransmits": 0,
        "probes": 0,
        "backoff": 0,
        "snd_wscale": 7,
        "rcv_wscale": 7,
        "delivery_rate_app_limited": share(app_percent, 1, 0, samples),
        "rto_us": round(rtt_ms * 1000) + 200_000,
        "snd_mss_bytes": mss_bytes,
        "unacked_packets": unacked,
        "sacked_packets": 0,
        "lost_packets": 0,
        "retrans_packets": 0,
        "last_data_sent_ms": 0,
        "last_data_recv_ms": 10,
        "last_ack_recv_ms": 0,
        "rtt_us": round(rtt_ms * 1000)
        if low_rtt_ms is None
        else share(20, round(low_rtt_ms * 1000), round(rtt_ms * 1000), samples),
        "min_rtt_us": round(min_rtt_ms * 1000),
        "delivery_rate_bytes_per_s": None
        if steady_percent is None
        else [100_000, *share(steady_percent, 100_000, 200_000, samples - 1)],
        "snd_ssthresh_packets": 80,
        "snd_cwnd_packets": cwnd_packets,
        "pacing_rate_bytes_per_s": round(pacing_over_delivery * mbit * 1e6 / 8),
        "max_pacing_rate_bytes_per_s": UNLIMITED,
        "notsent_bytes": unsent,
        "snd_wnd_bytes": window,
        "rcv_wnd_bytes": 65_536,
        "rcv_ssthresh_bytes": 65_536,
    }
    rises = {
        "acked_bytes": acked,
        "received_bytes": 0,
        "sent_bytes": sent,
        "retrans_bytes": again,
        "total_retrans_packets": again / mss_bytes,
        "data_segs_out": sent / (segment_bytes or mss_bytes),
        "data_segs_in": 0,
        "delivered_packets": acked / mss_bytes,
        "delivered_ce_packets": 0,
        "busy_time_us": busy,
        "rwnd_limited_us": busy * rwnd_percent / 100,
        "sndbuf_limited_us": busy * sndbuf_percent / 100,
        "dsack_dups": 0,
        "reord_seen": 0,
        "rcv_ooopack_packets": 0,
        "total_rto": 0,
    }
    control = Congestion(
        name=congestion, bbr=BbrInfo(pacing_gain=256) if congestion == "bbr" else None
    )
    return readings(
        info=made | dict(info or {}),
        rise=rises | dict(rise or {}),
        memory={
            "rmem_alloc_bytes": 0,
            "rcvbuf_bytes": 131_072,
            "wmem_alloc_bytes": wmem_alloc_bytes,
            "sndbuf_bytes": sndbuf_bytes,
            "wmem_queued_bytes": round(sndbuf_bytes * sndbuf_used_percent / 100),
            "drops": 0,
        },
        sock_fields={"congestion": control if congestion else None} | dict(sock_fields or {}),
        samples=samples,
        pace_s=pace_s,
        info_bytes=info_bytes,
    )


def receiver(
    *,
    mbit: float = 10.0,
    rcvbuf_bytes: int = 131_072,
    rcvbuf_used_percent: float = 0.0,
    rcv_wnd_bytes: int = 65_536,
    rcv_wnd_open_percent: float = 100.0,
    rcv_rtt_ms: float = 20.0,
    info: Fields | None = None,
    rise: Fields | None = None,
    sock_fields: Fields | None = None,
    samples: int = SAMPLES,
) -> tuple[Reading, ...]:
    """An end that receives, and sends nothing but acknowledgements."""
    received = mbit * 1e6 / 8 * (samples - 1) * limits.PACE_S
    waiting = round(rcvbuf_bytes * rcvbuf_used_percent / 100)
    return readings(
        info={
            "ca_state": "open",
            "options": ("timestamps", "sack", "wscale"),
            "rcv_wscale": 7,
            "snd_mss_bytes": 1448,
            "rtt_us": round(rcv_rtt_ms * 1000),
            "min_rtt_us": round(rcv_rtt_ms * 1000),
            "rcv_rtt_us": round(rcv_rtt_ms * 1000),
            "rcv_wnd_bytes": rcv_wnd_bytes,
            "rcv_ssthresh_bytes": round(rcv_wnd_bytes * 100 / rcv_wnd_open_percent),
            "unacked_packets": 0,
            "notsent_bytes": 0,
        }
        | dict(info or {}),
        rise={
            "acked_bytes": 0,
            "received_bytes": received,
            "data_segs_in": received / 1448,
            "data_segs_out": 0,
            "rcv_ooopack_packets": 0,
        }
        | dict(rise or {}),
        memory={"rmem_alloc_bytes": waiting, "rcvbuf_bytes": rcvbuf_bytes, "drops": 0},
        sock_fields={"receive_queue_bytes": waiting // 2} | dict(sock_fields or {}),
        samples=samples,
    )


def judged(own: Sequence[Reading], other: Sequence[Reading] = (), **around: Any) -> Diagnosis:
    """What `diagnose` says of them."""
    return diagnose(observed(own, other, **around))


FIELDS: Final = tuple(members(TcpInfo))
