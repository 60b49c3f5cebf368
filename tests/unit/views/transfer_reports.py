"""Hand-made reports of `probe METHOD` and `probe compare`; places and verdicts are worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from tcptool.analysis import transfer
from tcptool.catalog.tcp_info import TcpInfo
from tcptool.model.probe import (
    Cost,
    Machine,
    MethodResult,
    Reading,
    Settings,
    Slice,
    TransferPlan,
    TransferReport,
    ZeroCopySends,
)
from tcptool.model.report import Host

GIB: Final = 1 << 30
MIB: Final = 1 << 20

SETTINGS: Final = Settings(
    congestion_control="cubic",
    sndbuf_bytes=4 * MIB,
    rcvbuf_bytes=6 * MIB,
    mss_bytes=65_483,
    device="lo",
    gso=True,
    options=(),
)
MACHINE: Final = Machine(
    processors=4,
    near_cpu=0,
    far_cpu=1,
    governor="performance",
    load_before_percent=12.0,
    load_after_percent=25.4,
)
PLAN: Final = TransferPlan(
    methods=(),
    size_bytes=100 * MIB,
    duration_s=None,
    connections=25,
    warmup_rounds=2,
    slice_bytes=4 * MIB,
    chunk_bytes=256 << 10,
    vectors=16,
    pipe_bytes=MIB,
    path="ipv4",
    to=None,
    source="temporary-file",
    file=None,
    receiver="discard",
    verify=False,
    timeout_s=10.0,
    seed=1,
    processors=None,
)
INFO: Final = replace(
    TcpInfo(),
    busy_time_us=40_000,
    rwnd_limited_us=10_000,
    sndbuf_limited_us=0,
    total_retrans_packets=2,
)


def result(
    method: str,
    gib_per_s: float,
    cpu_s_per_gb: float,
    *,
    connections: int = 25,
    wobble: float = 0.03,
    sends: tuple[int, int] | None = None,
    **changes: Any,
) -> MethodResult:
    """That rate and cost, give or take ``wobble``, in a slice of 4 MiB on each connection.

    ``sends`` are those of MSG_ZEROCOPY, completed and copied; ``changes`` are fields of the
    result.
    """
    readings = []
    step = 1 + sum(method.encode()) % 10  # an order of its own; 11 is prime, so all values occur
    for number in range(connections):
        factor = 1 + wobble * (number * step % 11 - 5) / 5
        size, cpu_s = 4 * MIB, cpu_s_per_gb * factor * 4 * MIB / 1e9
        one = Slice(
            connection=number,
            payload_bytes=size,
            elapsed_s=size / (gib_per_s * GIB * factor),
            near_cpu_s=cpu_s,
            far_cpu_s=0.0006,
        )
        near = Cost(cpu_s / 4, cpu_s * 3 / 4, 17, 1 if number % 5 else 0, number % 2)
        readings.append(Reading(method, one, near, Cost(0.0001, 0.0005, 40, 30, 0)))
    zerocopy = ZeroCopySends(completed=sends[0], copied=sends[1]) if sends else None
    made = transfer.method_result(method, readings, SETTINGS, INFO, zerocopy, None)
    return replace(made, **changes)


def report(*results: MethodResult, **changes: Any) -> TransferReport:
    """What follows from the results; ``changes`` are fields of the report."""
    by_rate, by_cpu = (transfer.places(results, metric) for metric in ("rate", "cpu"))
    return replace(
        TransferReport(
            plan=replace(PLAN, methods=tuple(one.method for one in results)),
            machine=MACHINE,
            complete=True,
            source_bytes=100 * MIB,
            results=transfer.ranked(results, by_rate, by_cpu),
            comparisons=(
                *transfer.comparisons(results, "rate", by_rate),
                *transfer.comparisons(results, "cpu", by_cpu),
            ),
            fastest=by_rate[0] if by_rate else (),
            cheapest=by_cpu[0] if by_cpu else (),
            host=Host(time="2026-01-02T03:04:05.123Z", host="testhost", kernel="6.18.44"),
            missing=[],
            warnings=[],
        ),
        **changes,
    )


def comparison_of_all() -> TransferReport:
    """All methods, as a quiet machine with cubic might show them."""
    larger = replace(SETTINGS, sndbuf_bytes=4_128_768, rcvbuf_bytes=33_554_432)
    return report(
        result("send", 2.31, 0.341),
        result("writev", 2.28, 0.338),
        result("sendfile", 3.92, 0.118, settings=larger),
        result("splice", 3.88, 0.121),
        result("mmap", 3.05, 0.236, wobble=0.4),
        result("zerocopy", 1.94, 0.402, sends=(437, 437)),
        result("vmsplice", 3.61, 0.152),
    )


def one_method() -> TransferReport:
    """sendfile alone."""
    return report(result("sendfile", 3.92, 0.118))
