"""`inspect --watch` on a terminal: one screen, redrawn at each reading.

A frame is made of ready segments: a table widget would cost fifty times as much, and the tool
must not be the load that it measures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from tcptool.model.inspection import Sample, WatchEnd
from tcptool.units import Unit, human, split_unit
from tcptool.views.clean import clean
from tcptool.views.look import Look
from tcptool.views.terminal.console import console, plain_micro
from tcptool.views.terminal.sparkline import sparkline
from tcptool.views.text.inspect import summary

SPARKED: Final = ("rtt_us", "snd_cwnd_packets", "delivery_rate_bytes_per_s")
_VALUES: Final = (
    "rttvar_us",
    "min_rtt_us",
    "rto_us",
    "snd_ssthresh_packets",
    "unacked_packets",
    "snd_wnd_bytes",
    "rcv_wnd_bytes",
    "notsent_bytes",
    "pacing_rate_bytes_per_s",
    "ca_state",
    "retransmits",
    "total_retrans_packets",
    "sent_bytes",
    "acked_bytes",
    "received_bytes",
    "last_ack_recv_ms",
)
_RATES: Final = (
    "sent_bytes_per_s",
    "acked_bytes_per_s",
    "received_bytes_per_s",
    "segs_out",
    "segs_in",
    "retrans_packets",
    "busy_percent",
    "rwnd_limited_percent",
    "sndbuf_limited_percent",
)
_HISTORY: Final = 400
_BOLD: Final = Style(bold=True)
_LABEL: Final = Style(color="cyan")
_CHANGED: Final = Style(color="yellow")


def write_watch(events: Iterable[Sample | WatchEnd], out: IO[str], look: Look) -> None:
    """Redraw at each reading; when it ends, leave the screen and write the summary."""
    screen = console(out, look)
    frame = _Frame(look)
    end: WatchEnd | None = None
    with Live(frame, console=screen, screen=True, auto_refresh=False) as live:
        for event in events:
            if isinstance(event, WatchEnd):
                end = event
            else:
                frame.take(event)
                live.refresh()
    if end is not None:
        write_end(end, out, look)


def write_end(end: WatchEnd, out: IO[str], look: Look) -> None:
    """Write what following came to."""
    for line in summary(end):
        out.write(line.removeprefix("# ") + "\n")
    out.flush()


class _Frame:
    """What stands on the screen: the last reading, what changed, and the history."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._sample: Sample | None = None
        self._previous: Sample | None = None
        self._history: dict[str, deque[float | None]] = {
            name: deque(maxlen=_HISTORY) for name in SPARKED
        }

    def take(self, sample: Sample) -> None:
        """Add a reading."""
        self._previous, self._sample = self._sample, sample
        for name, history in self._history.items():
            history.append(_reading(sample, name))

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Segments of at most the terminal's width and height."""
        lines = list(self._lines(options.max_width))[: max(options.size.height - 1, 1)]
        for line in lines:
            yield from Segment.adjust_line_length(line, options.max_width)
            yield Segment.line()

    def _lines(self, width: int) -> Iterator[list[Segment]]:
        sample = self._sample
        if sample is None:
            return
        sock = sample.socket
        ends = f"{clean(str(sock.local))} - {clean(str(sock.peer))}"
        yield [Segment(f"{sock.state}  {ends}", _BOLD)]
        yield [Segment(f"{sample.elapsed_s:.1f} s  timer {sock.timer}  Ctrl-C ends", None)]
        yield []
        for name in SPARKED:
            graph = sparkline(self._history[name], max(width - 40, 8), unicode=self._look.unicode)
            yield [
                *self._pair(name, _reading(sample, name), 24, 14),
                Segment(graph, Style(color="green")),
            ]
        yield []
        cells = [self._pair(name, _reading(sample, name), 22, 16) for name in _VALUES]
        cells += [self._pair(name, getattr(sample.rates, name), 22, 16) for name in _RATES]
        per_row = max(width // 40, 1)
        for start in range(0, len(cells), per_row):
            yield [segment for cell in cells[start : start + per_row] for segment in cell]

    def _pair(self, name: str, value: Any, label_width: int, value_width: int) -> list[Segment]:
        stem, unit = split_unit(name)
        label = _LABELS.get(name, stem.replace("_", " "))
        before = None if self._previous is None else _reading(self._previous, name)
        changed = before is not None and before != value
        shown = plain_micro(_shown(value, unit), self._look)
        return [
            Segment(f"{label:<{label_width}}", _LABEL),
            Segment(f"{shown:<{value_width}}", _CHANGED if changed else None),
            Segment("  "),
        ]


_LABELS: Final = {
    "sent_bytes_per_s": "sending",
    "acked_bytes_per_s": "acked",
    "received_bytes_per_s": "receiving",
    "segs_out": "segs out, since",
    "segs_in": "segs in, since",
    "retrans_packets": "retrans, since",
    "sent_bytes": "sent, total",
    "acked_bytes": "acked, total",
    "received_bytes": "received, total",
}


def _shown(value: Any, unit: Unit) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else human(value, unit)


def _reading(sample: Sample, name: str) -> Any:
    return getattr(sample.socket.tcp_info, name, None)
