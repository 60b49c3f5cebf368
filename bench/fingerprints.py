"""What the kernel counts of a connection, reduced to what a verdict can go by.

One line for each scenario, from two seconds of `tcptool inspect --watch`: medians of what varies,
differences of what is counted.  `use` is packets in flight over snd_cwnd, `fillw` bytes in flight
over snd_wnd, `dry` the share of readings with less than a segment unsent, `held` that of them with
something unsent although the window was open, `held_alone` with nothing in flight either.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tests.lab.scenarios import Scenario
from tests.live.program import tcptool

_READINGS: Final = 100
Values = dict[str, float | str | None]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def fingerprint(target: str) -> Values:
    words = ("--watch", "--interval", "20ms", "--count", _READINGS, "--json")
    lines = tcptool("inspect", target, *words).lines
    events = [json.loads(line)["data"] for line in lines]
    samples = [event for event in events if event["event"] == "sample"]
    elapsed_s = samples[-1]["elapsed_s"] - samples[0]["elapsed_s"]
    sockets = [sample["socket"] for sample in samples]
    infos = [socket["tcp_info"] for socket in sockets]
    memories = [socket["memory"] for socket in sockets]
    last = infos[-1]
    if sockets[-1]["state"] == "listen":
        return {"accept_queue": sockets[-1]["accept_queue"], "backlog": sockets[-1]["backlog"]}

    def change(name: str) -> float:
        return float((last[name] or 0) - (infos[0][name] or 0))

    def share(holds: Callable[[dict[str, Any]], bool]) -> float:
        return sum(map(holds, infos)) / len(infos)

    def in_flight(info: dict[str, Any]) -> int:
        lost = info["sacked_packets"] + info["lost_packets"]
        return int(info["unacked_packets"] - lost + info["retrans_packets"])

    def in_flight_bytes(info: dict[str, Any]) -> int:
        return in_flight(info) * int(info["snd_mss_bytes"])

    def held(info: dict[str, Any]) -> bool:
        open_window = bool(in_flight(info) < info["snd_cwnd_packets"])
        return open_window and bool(0 < info["notsent_bytes"] < info["snd_mss_bytes"])

    busy_us = change("busy_time_us")
    windows = [info["snd_wnd_bytes"] for info in infos]
    mean_window = statistics.mean(windows)
    return {
        "state": sockets[-1]["state"],
        "sent_mbit": change("acked_bytes") * 8 / elapsed_s / 1e6,
        "got_mbit": change("received_bytes") * 8 / elapsed_s / 1e6,
        "busy": busy_us / elapsed_s / 1e6,
        "rwnd": change("rwnd_limited_us") / busy_us if busy_us else None,
        "sndbuf": change("sndbuf_limited_us") / busy_us if busy_us else None,
        "app": share(lambda info: bool(info["delivery_rate_app_limited"])),
        "use": _median(in_flight(info) / info["snd_cwnd_packets"] for info in infos),
        "fillw": _median(
            in_flight_bytes(info) / info["snd_wnd_bytes"] if info["snd_wnd_bytes"] else None
            for info in infos
        ),
        "zero_window": share(lambda info: info["snd_wnd_bytes"] == 0),
        "snd_wnd": _median(windows),
        "wnd_varies": statistics.pstdev(windows) / mean_window if mean_window else None,
        "cwnd": f"{infos[0]['snd_cwnd_packets']}>{last['snd_cwnd_packets']}",
        "ssthresh": last["snd_ssthresh_packets"],
        "notsent": _median(info["notsent_bytes"] for info in infos),
        "dry": share(lambda info: info["notsent_bytes"] < info["snd_mss_bytes"]),
        "held": share(held),
        "held_alone": share(lambda info: held(info) and not info["unacked_packets"]),
        "segment": (
            change("sent_bytes") / change("data_segs_out") if change("data_segs_out") else None
        ),
        "wmem_queued/sndbuf": _median(
            memory["wmem_queued_bytes"] / memory["sndbuf_bytes"] for memory in memories
        ),
        "wmem_alloc/in_flight": _median(
            memory["wmem_alloc_bytes"] / in_flight_bytes(info) if in_flight(info) > 0 else None
            for memory, info in zip(memories, infos, strict=True)
        ),
        "rtt_ms": (_median(info["rtt_us"] for info in infos) or 0) / 1e3,
        "min_rtt_ms": (last["min_rtt_us"] or 0) / 1e3,
        "rttvar_ms": (_median(info["rttvar_us"] for info in infos) or 0) / 1e3,
        "retrans_%": (
            100 * change("retrans_bytes") / change("sent_bytes") if change("sent_bytes") else None
        ),
        "dsack": change("dsack_dups"),
        "reord_seen": change("reord_seen"),
        "pacing/delivery": _median(
            info["pacing_rate_bytes_per_s"] / info["delivery_rate_bytes_per_s"]
            if info["delivery_rate_bytes_per_s"]
            and isinstance(info["pacing_rate_bytes_per_s"], int)
            else None
            for info in infos
        ),
        "max_pacing": last["max_pacing_rate_bytes_per_s"],
        "rmem/rcvbuf": _median(
            memory["rmem_alloc_bytes"] / memory["rcvbuf_bytes"] for memory in memories
        ),
        "rcv_wnd/ssthresh": _median(
            info["rcv_wnd_bytes"] / info["rcv_ssthresh_bytes"] for info in infos
        ),
        "out_of_order": change("rcv_ooopack_packets"),
        "ca_state": last["ca_state"],
        "retransmits": last["retransmits"],
        "backoff": last["backoff"],
        "probes": last["probes"],
        "lost": last["lost_packets"],
        "last_data_recv_ms": last["last_data_recv_ms"],
        "last_ack_recv_ms": last["last_ack_recv_ms"],
        "timer": sockets[-1]["timer"],
    }


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_fingerprints(scenarios: Sequence[Scenario]) -> None:
    for scenario in scenarios:
        with scenario.open() as case:
            values = fingerprint(case.target)
        path = f"{scenario.congestion}, {scenario.rtt_ms:g} ms, {scenario.rate_mbit or '-'} Mbit/s"
        print(f"{scenario.name} ({path}): expected {' or '.join(sorted(scenario.expected))}")
        print("   ", *(f"{name}={_shown(value)}" for name, value in values.items()), flush=True)
