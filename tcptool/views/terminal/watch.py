"""`inspect --watch` on a terminal: one screen, redrawn at each reading.

A frame is made of ready segments: a table widget would cost fifty times as much, and the tool
must not be the load that it measures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from textwrap import wrap
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

_CELL: Final = 40
"""Width that a label, its value and the change of the value want."""

_LABEL_WIDTH: Final = 17
_VALUE_WIDTH: Final = 12
"""Room for the longest label, and for the longest value (``1.23 Mbit/s``), with a space each."""

_BOLD: Final = Style(bold=True)
_LABEL: Final = Style(color="cyan")
_CHANGED: Final = Style(color="yellow")
_GRAPH: Final = Style(color="green")


def write_watch(events: Iterable[Sample | WatchEnd], out: IO[str], look: Look) -> None:
    """Redraw at each reading; when it ends, leave the screen and write the summary."""
    screen = console(out, look, resized=True)
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
        """Segments of at most the terminal's width and height, which may be new each time."""
        width, height = options.size
        lines = list(self._lines(width))
        if cut := max(len(lines) - height, 0):
            lines[height - 1 :] = [[Segment(f"{cut + 1} lines do not fit", _BOLD)]]
        for line in lines:
            yield from Segment.adjust_line_length(line, width)
            yield Segment.line()

    def _lines(self, width: int) -> Iterator[list[Segment]]:
        sample = self._sample
        if sample is None:
            return
        sock = sample.socket
        ends = f"{clean(str(sock.local))} - {clean(str(sock.peer))}"
        for row in wrap(f"{sock.state}  {ends}", width):
            yield [Segment(row, _BOLD)]
        yield [Segment(f"{sample.elapsed_s:.1f} s  timer {sock.timer}  Ctrl-C ends", None)]
        yield []
        for name in SPARKED:
            graph = sparkline(self._history[name], width - _CELL, unicode=self._look.unicode)
            yield [*self._reading(name, min(width, _CELL)), Segment(graph, _GRAPH)]
        yield []
        per_row = max(width // _CELL, 1)
        cells = [self._rate(name, width // per_row) for name in _RATES]
        cells += [self._reading(name, width // per_row) for name in _VALUES]
        for start in range(0, len(cells), per_row):
            yield [segment for cell in cells[start : start + per_row] for segment in cell]

    def _rate(self, name: str, width: int) -> list[Segment]:
        """A change since the last reading."""
        assert self._sample is not None
        return self._cell(name, getattr(self._sample.rates, name), None, width)

    def _reading(self, name: str, width: int) -> list[Segment]:
        """A value of tcp_info, and how it has changed since the last reading."""
        return self._cell(name, _reading(self._sample, name), _reading(self._previous, name), width)

    def _cell(self, name: str, value: Any, before: Any, width: int) -> list[Segment]:
        """Where room is short, the change gives way first and then the label."""
        stem, unit = split_unit(name)
        room = min(max(width - _VALUE_WIDTH, 1), _LABEL_WIDTH)
        label = _LABELS.get(name, stem.replace("_", " "))[: room - 1]
        shown = _shown(value, unit)
        changed = before is not None and before != value
        if changed and len(both := f"{shown}  {_difference(value, before, unit)}") < width - room:
            shown = both
        return [
            Segment(f"{label:<{room}}", _LABEL),
            Segment(
                f"{plain_micro(shown, self._look):<{width - room}}", _CHANGED if changed else None
            ),
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


def _difference(value: Any, before: Any, unit: Unit) -> str:
    """``+3 µs``; nothing where either is a word, as ``unlimited`` is."""
    if not isinstance(value, int | float) or not isinstance(before, int | float):
        return ""
    sign = "+" if value > before else "-"
    return f"{sign}{human(abs(value - before), unit)}"


def _reading(sample: Sample | None, name: str) -> Any:
    return None if sample is None else getattr(sample.socket.tcp_info, name, None)
