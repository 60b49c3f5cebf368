"""`inspect` into a pipe: `section.name  value`, one a line, in the unit that the name ends in.

Followed live: a heading and one line a reading.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import IO, Any, Final

from tcptool.model.inspection import InspectReport, Rates, Sample, WatchEnd
from tcptool.views.clean import clean
from tcptool.views.inspect_sections import sections
from tcptool.views.look import Look
from tcptool.views.text.list import cell


def write(report: InspectReport, out: IO[str], look: Look) -> None:
    """Write every value; with explanations, a line of meaning follows each."""
    for section in sections(report):
        for line in section.lines:
            note = f"  # {line.note}" if line.note else ""
            out.write(f"{section.name + '.' + line.name:<44}  {line.raw}{note}\n")
            if look.explain and line.doc:
                for row in textwrap.wrap(line.doc, 96):
                    out.write(f"    {row}\n")


WATCHED: Final = (
    "rtt_us",
    "min_rtt_us",
    "snd_cwnd_packets",
    "unacked_packets",
    "snd_wnd_bytes",
    "notsent_bytes",
    "delivery_rate_bytes_per_s",
)
_RATES: Final = (
    "acked_bytes_per_s",
    "received_bytes_per_s",
    "retrans_packets",
    "rwnd_limited_percent",
    "sndbuf_limited_percent",
)


def write_watch(events: Iterable[Sample | WatchEnd], out: IO[str], look: Look) -> None:
    """Write one line a reading, flushed, and the summary at the end."""
    names = ("elapsed_s", "state", *WATCHED, *_RATES)
    widths = [max(len(name), 8) for name in names]
    out.write(
        "  ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)) + "\n"
    )
    for event in events:
        if isinstance(event, WatchEnd):
            write_end(event, out, look)
        else:
            cells = [f"{event.elapsed_s:.3f}", event.socket.state]
            cells += [cell(_reading(event, name)) for name in WATCHED]
            cells += [cell(getattr(event.rates, name)) for name in _RATES]
            out.write("  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True)) + "\n")
        out.flush()


def write_end(end: WatchEnd, out: IO[str], look: Look) -> None:
    """Write the summary, as comments."""
    out.write("\n".join(summary(end)) + "\n")
    out.flush()


def _reading(sample: Sample, name: str) -> Any:
    return None if sample.socket.tcp_info is None else getattr(sample.socket.tcp_info, name)


def summary(end: WatchEnd) -> list[str]:
    """What following came to, in a few lines."""
    sock, total = end.last, end.total
    lines = [
        f"# {end.reason} after {end.elapsed_s:.1f} s, {end.samples} readings:"
        f" {clean(str(sock.local))} - {clean(str(sock.peer))}, last state {sock.state}"
    ]
    if end.min_rtt_us is not None:
        lines.append(f"# rtt_us from {end.min_rtt_us} to {end.max_rtt_us}")
    if total.interval_s is not None:
        lines.append("# " + ", ".join(_totals(total)))
    return lines


def _totals(total: Rates) -> list[str]:
    names = ("acked_bytes_per_s", "received_bytes_per_s", "retrans_packets", "busy_percent")
    return [f"{name} {cell(getattr(total, name))}" for name in names]
