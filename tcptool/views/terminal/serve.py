"""`serve --live`: the figures of the server and its connections, redrawn once a second.

A frame is made of ready segments, as that of `inspect --watch` (views/terminal/watch.py).  The
connections come from sock_diag, asked by the parent of the workers: their loop notices nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Final, Self

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from tcptool.model.serve import ServeEnd, ServeEvent, ServeStats
from tcptool.model.socket_list import SocketList
from tcptool.units import Unit, human
from tcptool.views.look import Look
from tcptool.views.terminal.console import console, plain_micro
from tcptool.views.terminal.list import RENDERING, align, cell, fitting, headings
from tcptool.views.text import serve as text

EVERY_S: Final = 1.0
_HEAD_LINES: Final = 6
_BOLD: Final = Style(bold=True)
_DIM: Final = Style(dim=True)


class LiveView:
    """The screen, from the first look to the end; what is told then goes to the terminal."""

    rendering = RENDERING
    every_s = EVERY_S

    def __init__(self, out: IO[str], look: Look) -> None:
        self._out, self._look = out, look
        self._lines: list[tuple[str, Style | None]] = []
        self._before: ServeStats | None = None
        self._said: list[str] = []
        self._live = Live(
            self, console=console(out, look, resized=True), screen=True, auto_refresh=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, event: ServeEvent) -> None:
        """Take an event: the end ends the screen, and is written below what was there before."""
        if isinstance(event, ServeEnd):
            self._live.stop()
            text.write(event, self._out, self._look)
        else:
            self._said += text.lines(event)
            self._said += [warning.message for warning in event.warnings]

    def most(self) -> int:
        """Connections for which there is room."""
        return max(1, shutil.get_terminal_size().lines - _HEAD_LINES - len(self._said))

    def look(self, stats: ServeStats, sockets: SocketList | None) -> None:
        """Draw a frame."""
        self._lines = [(line, _BOLD) for line in self._said]
        self._lines += [(line, None) for line in self._figures(stats)]
        if sockets is not None:
            self._lines += self._connections(sockets)
        self._before = stats
        if not self._live.is_started:
            self._live.start()
        self._live.refresh()

    def _figures(self, stats: ServeStats) -> Iterator[str]:
        total, before = stats.total, self._before
        passed_s = stats.uptime_s - before.uptime_s if before else 0.0

        def rate(name: str, unit: Unit) -> str:
            if before is None or passed_s <= 0:
                return "-"
            grown = getattr(total, name) - getattr(before.total, name)
            if unit is Unit.COUNT:
                return f"{human(round(grown / passed_s), unit)}/s"
            return human(grown / passed_s, unit)

        count = Unit.COUNT
        yield (
            f"{human(total.clients, count)} clients, {human(total.accepted, count)} so far "
            f"({rate('accepted', count)}); {human(total.answers, count)} answers "
            f"({rate('answers', count)}); in {rate('received_bytes', Unit.BYTES_PER_SECOND)}, "
            f"out {rate('sent_bytes', Unit.BYTES_PER_SECOND)}"
        )
        times = ((50, stats.p50_us), (99, stats.p99_us), (99.9, stats.p99_9_us))
        shown = [
            f"p{share:g} {human(round(value), Unit.MICROSECONDS)}"
            for share, value in times
            if value is not None
        ]
        yield f"time of an answer: at most {', '.join(shown)}" if shown else "no answer yet"
        yield (
            f"turned away {total.turned_away}, no descriptor {total.no_descriptor}, "
            f"timed out {total.timed_out}, lost {total.lost}; 4xx {total.answers_4xx}, "
            f"5xx {total.answers_5xx}; Ctrl-C ends"
        )
        yield ""

    def _connections(self, sockets: SocketList) -> Iterator[tuple[str, Style | None]]:
        columns = sockets.columns
        rows = [
            [cell(value, column) for value, column in zip(row, columns, strict=True)]
            for batch in sockets.batches
            for row in batch
        ]
        titles = headings(columns)
        widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
        shown, _ = fitting(columns, widths, shutil.get_terminal_size().columns)
        for number, row in enumerate([titles, *rows]):
            line = "  ".join(f"{row[i]:{align(columns[i], widths[i])}}" for i in shown)
            yield line, None if number else _DIM

    def __rich_console__(self, screen: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Segments of at most the terminal's width and height, which may be new each time."""
        width, height = options.size
        for line, style in self._lines[:height]:
            segments = [Segment(plain_micro(line, self._look), style)]
            yield from Segment.adjust_line_length(segments, width)
            yield Segment.line()
