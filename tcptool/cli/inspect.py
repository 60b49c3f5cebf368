"""`tcptool inspect`."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tcptool.actions.inspect import inspect_socket, watch_socket
from tcptool.actions.resolve import resolve_one
from tcptool.cli.common import Color, ColorMode, Debug, Json, Netns, Quiet, duration_s, is_given
from tcptool.cli.reading import read_target
from tcptool.cli.session import Session
from tcptool.errors import UsageError

if TYPE_CHECKING:
    from tcptool.actions.resolve import Found


def inspect_command(
    ctx: typer.Context,
    target: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="PID:FD, PID, sk:COOKIE, :PORT, ADDR:PORT-ADDR:PORT "
            "or a filter; it must name one socket.",
            show_default=False,
        ),
    ],
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="Follow the socket until it ends.", metavar="")
    ] = False,
    interval: Annotated[
        str, typer.Option("-i", "--interval", metavar="TIME", help="Time between two readings.")
    ] = "1s",
    count: Annotated[
        int | None,
        typer.Option("-c", "--count", min=1, metavar="N", help="Stop after N readings."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add a line of meaning under each value.", metavar="")
    ] = False,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show everything that the kernel knows about one socket.

    Identity, the whole of tcp_info, queues and memory, congestion control, every readable
    option and the other end if it is on this host. The socket is borrowed for less than a
    millisecond to read its options; following it with --watch never touches it.
    """
    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    _refuse_ignored(ctx)
    pace_s = duration_s("--interval", interval)
    found = resolve_one(session.open_kernel(netns), read_target(target))
    if watch:
        _follow(session, found, pace_s, count)
    else:
        _show(session, found, explain=explain)


_IGNORED: Final = (
    ("interval", "without", "watch"),
    ("count", "without", "watch"),
    ("explain", "with", "watch"),
    ("explain", "with", "json"),
)
"""Options that have no effect without, or with, another."""


def _refuse_ignored(ctx: typer.Context) -> None:
    for option, how, other in _IGNORED:
        if is_given(ctx, option) and is_given(ctx, other) == (how == "with"):
            raise UsageError(f"using --{option} {how} --{other}", "it would have no effect")


def _show(session: Session, found: Found, *, explain: bool) -> None:
    if session.json:
        from tcptool.views.json import inspect as view
    elif session.on_terminal():
        from tcptool.views.terminal import inspect as view  # type: ignore[no-redef]
    else:
        from tcptool.views.text import inspect as view  # type: ignore[no-redef]
    view.write(inspect_socket(found), sys.stdout, session.look(explain=explain))


def _follow(session: Session, found: Found, pace_s: float, count: int | None) -> None:
    if session.json:
        from tcptool.views.json import inspect as view
    elif session.on_screen():
        from tcptool.views.terminal import watch as view  # type: ignore[no-redef]
    else:
        from tcptool.views.text import inspect as view  # type: ignore[no-redef]
    events = watch_socket(found, interval_s=pace_s, count=count)
    with _ended_by_signals():
        try:
            view.write_watch(events, sys.stdout, session.look())
        except KeyboardInterrupt:  # it came while a view was writing: ask for the end now
            view.write_end(events.throw(KeyboardInterrupt), sys.stdout, session.look())


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does, with the summary, and kill only then.

    So the screen is given back, `timeout 60 tcptool inspect ... --watch` tells what it saw, and
    whoever sent the signal sees that it was obeyed: a shell shows the status 128 + its number.
    """
    received: list[int] = []

    def end(number: int, _frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for last in received[-1:]:
            signal.raise_signal(last)


EPILOG = """Examples:

  tcptool inspect 1234:5

  tcptool inspect :8080 --explain

  tcptool inspect 10.0.0.5:443-10.0.0.9:51844 --watch -i 200ms

  tcptool inspect 1234:5 --json | jq .data.socket.tcp_info.rtt_us
"""
