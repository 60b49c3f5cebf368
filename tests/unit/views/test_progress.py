"""The line on stderr that says how far a run is."""

from __future__ import annotations

import io
import os
import pty
import termios
from collections.abc import Iterator

import pytest

from tcptool.views.terminal.progress import Progress


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Broken(io.StringIO):
    """Takes nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.tries = error, 0

    def write(self, _text: str) -> int:
        self.tries += 1
        raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


def drawn(stream: io.StringIO) -> list[str]:
    """The lines in the order in which they stood there, without what moves the cursor."""
    written = stream.getvalue()
    assert "\n" not in written
    return [line.removesuffix("\x1b[K") for line in written.split("\r")[1:]]


def test_a_short_run_shows_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        for step in range(10):
            progress(step / 10, "send")
            clock.now_s += 0.0999
    assert stream.getvalue() == ""


def test_a_line_in_place_of_the_one_before(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        progress(0.0, "")
        clock.now_s += 2
        progress(0.25, "send 30 Gbit/s")
        clock.now_s += 2
        progress(0.5, "send 31 Gbit/s")
    assert drawn(stream) == [
        "#####...............  25%  ETA 6 s  send 30 Gbit/s",
        "##########..........  50%  ETA 4 s  send 31 Gbit/s",
        "",
    ]
    assert stream.getvalue().endswith("\r\x1b[K")


def test_drawn_at_most_five_times_a_second(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        for step in range(30_000):
            progress(step / 30_000, "send")
            clock.now_s += 0.0001
    lines = drawn(stream)
    assert 9 <= len(lines) <= 12


def test_it_is_gone_after_an_error_too(clock: Clock) -> None:
    stream = io.StringIO()

    def run() -> None:
        with Progress(stream, clock) as progress:
            clock.now_s += 1
            progress(0.5, "send")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert drawn(stream) == ["##########..........  50%  send", ""]


@pytest.mark.parametrize("error", [ValueError("closed"), BlockingIOError(), OSError(5, "EIO")])
def test_a_terminal_that_is_gone_does_not_matter(clock: Clock, error: Exception) -> None:
    stream = Broken(error)
    with Progress(stream, clock) as progress:
        for _ in range(10):
            clock.now_s += 1
            progress(0.5, "send")
    assert stream.tries == 2  # once to draw, once to erase


def test_a_closed_stream(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        clock.now_s += 1
        progress(0.5, "send")
        stream.close()
        clock.now_s += 1
        progress(0.6, "send")


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (125, "2:05 min"),
        (3599.6, "1:00 h"),
        (7500, "2:05 h"),
    ],
)
def test_the_time_that_is_left(clock: Clock, left_s: float, words: str) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        progress(0.0, "")
        clock.now_s += left_s + 2
        share = 1 - left_s / (2 * left_s + 2)  # at this pace, that long
        progress(share, "")
    assert f"ETA {words}" in drawn(stream)[0]


def test_a_phase_that_begins_anew_has_a_pace_of_its_own(clock: Clock) -> None:
    """As verifying does, before the measurement starts at 0 again."""
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        progress(0.0, "verifying send")
        clock.now_s += 50
        progress(0.5, "verifying send")
        clock.now_s += 50
        progress(0.0, "send")
        clock.now_s += 1
        progress(0.1, "send")
    verifying, begun, going_on, _ = drawn(stream)
    assert "ETA 50 s" in verifying
    assert "ETA" not in begun
    assert "ETA 9 s" in going_on


def test_a_share_out_of_range_is_put_right(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        for share in (-1.0, 7.0):
            clock.now_s += 1
            progress(share, "")
    assert drawn(stream)[:2] == ["....................   0%", "#################### 100%  ETA 0 s"]


def test_text_is_harmless(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, clock) as progress:
        clock.now_s += 1
        progress(0.5, "evil\x1b[2J\nname")
    assert drawn(stream)[0].endswith(r"evil\x1b[2J\nname")


@pytest.fixture
def terminal() -> Iterator[tuple[io.TextIOWrapper, int]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream, ours
    os.close(ours)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (200, "██████████░░░░░░░░░░  50%  ETA 1 s  sendfile 30 Gbit/s"),
        (55, "██████████░░░░░░░░░░  50%  ETA 1 s  sendfile 30 Gbit/s"),
        (54, " 50%  ETA 1 s  sendfile 30 Gbit/s"),
        (20, " 50%  ETA 1 s  send"),
        (0, "██████████░░░░░░░░░░  50%  ETA 1 s  sendfile 30 Gbit/s"),
    ],
)
def test_the_line_fits_the_terminal(
    clock: Clock, terminal: tuple[io.TextIOWrapper, int], columns: int, line: str
) -> None:
    stream, ours = terminal
    termios.tcsetwinsize(stream.fileno(), (24, columns))
    with Progress(stream, clock) as progress:
        progress(0.0, "")
        clock.now_s += 1
        progress(0.5, "sendfile 30 Gbit/s")
    expected = f"\r{line}\x1b[K\r\x1b[K".encode()
    written = b""
    while len(written) < len(expected):
        written += os.read(ours, 4096)
    assert written == expected
