"""Hand-made reports of `probe connect`; what follows from readings is worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from tcptool.analysis import connect
from tcptool.analysis.estimates import median, median_interval, noise_percent
from tcptool.model.connect import (
    ConnectBlock,
    ConnectPlan,
    ConnectReport,
    CounterGrowth,
    PortUse,
)
from tcptool.model.probe import Machine, Settings
from tcptool.model.report import Host

PLAN: Final = ConnectPlan(
    connections=2000,
    duration_s=None,
    blocks=12,
    concurrency=1,
    exchange="none",
    closer="client",
    fast_open=False,
    backlog=None,
    path="ipv4",
    to=None,
    timeout_s=10.0,
    processors=None,
)
MACHINE: Final = Machine(
    processors=2,
    near_cpu=0,
    far_cpu=1,
    governor=None,
    load_before_percent=1.0,
    load_after_percent=2.0,
)
SETTINGS: Final = Settings(
    congestion_control="cubic",
    sndbuf_bytes=2_626_560,
    rcvbuf_bytes=131_072,
    mss_bytes=32_741,
    device="lo",
    gso=True,
    options=(),
)
PORTS: Final = PortUse(
    first=32_768, last=60_999, reserved=0, used=2167, taken=2167, left=26_065, tw_reuse=2
)
NO_GROWTH: Final = CounterGrowth(
    active_opens=2168,
    passive_opens=2168,
    attempt_fails=0,
    retrans_segs=0,
    syn_retrans=0,
    rto_timeouts=0,
    listen_overflows=0,
    listen_drops=0,
    tw_overflows=0,
)


def times(middle_us: float, count: int = 2000) -> list[float]:
    """So many around this median, with a long tail."""
    return [middle_us * (0.8 + 0.4 * i / count + 20 * (i / count) ** 200) for i in range(count)]


def report(made: int = 2000, *, rate_per_s: float = 15_000.0, **changes: Any) -> ConnectReport:
    """That rate, give or take a few percent; ``changes`` are fields of the report."""
    blocks = tuple(
        ConnectBlock(
            made=share,
            elapsed_s=share / (rate_per_s * (1 + (number * 5 % 12 - 6) / 100)),
            near_cpu_s=share * 43e-6,
            far_cpu_s=share * 30e-6,
            connect_p50_us=23.0 + number / 10,
        )
        for number, share in enumerate(connect.shares(made, PLAN.blocks))
    )
    rates = connect.rates_per_s(blocks)
    interval = median_interval(rates)
    return replace(
        ConnectReport(
            plan=PLAN,
            machine=MACHINE,
            settings=SETTINGS,
            complete=True,
            ended_by="done",
            made=made,
            failed=(),
            rate_per_s=median(rates) if rates else None,
            rate_low_per_s=interval[0] if interval else None,
            rate_high_per_s=interval[1] if interval else None,
            noise_percent=noise_percent(rates),
            near_cpu_us=connect.cpu_us(blocks),
            far_cpu_us=connect.cpu_us(blocks, far=True),
            connect=connect.percentiles(times(23.0, made)),
            exchange=None,
            answer=None,
            close=connect.percentiles(times(32.0, made)),
            fast_open=None,
            tw_before=3,
            tw_after=2170,
            ports=PORTS,
            counters=NO_GROWTH,
            blocks=blocks,
            host=Host(time="2026-01-02T03:04:05.123Z", host="testhost", kernel="6.18.44"),
            missing=[],
            warnings=[],
        ),
        **changes,
    )
