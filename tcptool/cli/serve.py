"""`tcptool serve`."""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tcptool.catalog.misbehaviours import MISBEHAVIOURS
from tcptool.cli.common import Color, ColorMode, Debug, Ipv6, Json, Netns, Quiet, duration_s
from tcptool.cli.probe.common import Profile, SetOptions, read_settings
from tcptool.cli.session import Session
from tcptool.errors import UsageError

if TYPE_CHECKING:
    from tcptool.actions.serve import Watch
    from tcptool.linux.kernel import Kernel
    from tcptool.model.serve import ServeEvent, ServePlan
    from tcptool.traffic.worker import Pages

_MOST_WORKERS: Final = 512
_MOST_CLIENTS: Final = 10_000_000
_LARGEST_BACKLOG: Final = 0x7FFF_FFFF
"""listen(2) takes an int."""


class Misbehaviour(enum.StrEnum):
    """See catalog/misbehaviours.py."""

    SLOW_READ = "slow-read"
    NO_READ = "no-read"
    SLOW_ACCEPT = "slow-accept"
    RST = "rst"
    CORKED = "corked"
    HALF_CLOSE = "half-close"


def serve_command(
    ctx: typer.Context,
    port: Annotated[
        int,
        typer.Option("-p", "--port", metavar="PORT", help="Where to listen; 0 takes any free one."),
    ] = 8080,
    bind: Annotated[
        str | None,
        typer.Option(
            "--bind",
            metavar="ADDRESS",
            help="Listen on this address of the host; :: and 0.0.0.0 mean all of them. Without it "
            "only this host can connect (127.0.0.1, with -6 ::1).",
            show_default=False,
        ),
    ] = None,
    ipv6: Ipv6 = False,
    unix: Annotated[
        str | None,
        typer.Option("--unix", metavar="PATH", help="Listen on a Unix socket of this name."),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option("--root", metavar="DIR", help="Serve the files below this directory, too."),
    ] = None,
    sink: Annotated[
        bool,
        typer.Option(
            "--sink", help="Read and drop, without HTTP: the far end of `probe --to`.", metavar=""
        ),
    ] = False,
    chargen: Annotated[
        bool, typer.Option("--chargen", help="Write for ever, without HTTP.", metavar="")
    ] = False,
    misbehave: Annotated[
        Misbehaviour | None,
        typer.Option(
            "--misbehave",
            metavar="HOW",
            help=f"Be a bad server on purpose: {', '.join(MISBEHAVIOURS)}.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "-w", "--workers", metavar="N", help="Processes that share the port (SO_REUSEPORT)."
        ),
    ] = 1,
    max_clients: Annotated[
        int,
        typer.Option(
            "--max-clients", metavar="N", help="Turn clients away (503) when there are so many."
        ),
    ] = 10_000,
    backlog: Annotated[
        int,
        typer.Option(
            "--backlog",
            metavar="N",
            help="Room in the accept queue; net.core.somaxconn limits it.",
        ),
    ] = 4096,
    idle_timeout: Annotated[
        str,
        typer.Option(
            "--idle-timeout",
            metavar="DURATION",
            help="Close clients that do nothing for so long, or take so long to send a head.",
        ),
    ] = "30s",
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="DURATION", help="After SIGTERM, let clients finish for so long."
        ),
    ] = "10s",
    access_log: Annotated[
        str | None,
        typer.Option(
            "--access-log",
            metavar="FILE",
            help="Append a line for each answer; `-` is standard error.",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Show the connections, once a second.", metavar=""),
    ] = False,
    settings: SetOptions = None,
    profile: Profile = None,
    netns: Netns = None,
    json: Json = False,
    color: ColorMode = Color.AUTO,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Serve HTTP on an epoll loop, to check a client, a path, a load generator or a tuning.

    `/` is a page, `/stats` and `/metrics` are figures, `/bytes/N` has N bytes, `/echo` shows the
    request. Ctrl-C ends it; SIGTERM lets clients finish first.
    """
    from tcptool.actions.serve import serve

    session = Session.of(ctx, json=json, color=color, quiet=quiet, debug=debug)
    plan = _plan(
        bind=bind, ipv6=ipv6, unix=unix, port=port, idle_timeout=idle_timeout, grace=grace,
        mode=_mode(sink=sink, chargen=chargen, misbehave=misbehave, root=root),
        misbehave=misbehave and str(misbehave), root=root, workers=workers,
        max_clients=max_clients, backlog=backlog, access_log=access_log,
    )  # fmt: skip
    assignments = read_settings(settings, profile, "unix" if unix else "ipv4")
    kernel = session.open_kernel(netns)
    with _shown(session, live=live) as (tell, watch):
        serve(kernel, plan, assignments, _pages(kernel), tell, watch)


def _mode(*, sink: bool, chargen: bool, misbehave: str | None, root: str | None) -> str:
    """What is done with connections.  Raises UsageError for what does not go together."""
    chosen = {
        "--sink": sink,
        "--chargen": chargen,
        "--misbehave": misbehave is not None,
        "--root": root is not None,
    }
    given = [name for name, one in chosen.items() if one]
    if (sink or chargen) and len(given) > 1:
        raise UsageError(
            f"using {' with '.join(given)}", "they do not go together", "Choose one of them."
        )
    return "sink" if sink else "chargen" if chargen else "http"


def _plan(
    *, bind: str | None, ipv6: bool, unix: str | None, port: int, idle_timeout: str, grace: str,
    **given: Any,
) -> ServePlan:  # fmt: skip
    from tcptool.model.serve import ServePlan

    for option, text in (("--unix", unix), ("--bind", bind)):
        if text == "":
            raise UsageError(f"reading {option} ''", "it is empty")
    if unix is not None and (bind or ipv6):
        raise UsageError("using --unix with an address", "a Unix socket has none", "Leave one out.")
    if ipv6 and bind and ":" not in bind:
        raise UsageError(f"using -6 with --bind {bind}", "it is no IPv6 address", "As in ::1.")
    for option, number, least, most in (
        ("--port", port, 0, 0xFFFF),
        ("--workers", given["workers"], 1, _MOST_WORKERS),
        ("--max-clients", given["max_clients"], 1, _MOST_CLIENTS),
        ("--backlog", given["backlog"], 0, _LARGEST_BACKLOG),
    ):
        if not least <= number <= most:
            raise UsageError(f"reading {option}", f"{number} is not between {least} and {most}")
    return ServePlan(
        address=unix or bind or ("::1" if ipv6 else "127.0.0.1"),
        port=port,
        unix=unix is not None,
        idle_timeout_s=duration_s("--idle-timeout", idle_timeout),
        grace_s=duration_s("--grace", grace),
        **given,
    )


def _pages(kernel: Kernel) -> Pages:
    from tcptool.actions.host import host_facts
    from tcptool.traffic.worker import Pages
    from tcptool.views.json.serve import stats_page
    from tcptool.views.text.metrics import metrics_page

    return Pages(lambda stats: stats_page(stats, host_facts(kernel)), metrics_page)


@contextlib.contextmanager
def _shown(
    session: Session, *, live: bool
) -> Iterator[tuple[Callable[[ServeEvent], None], Watch | None]]:
    """Where events go, and who looks on."""
    look = session.look()
    if live:
        if not session.on_screen():
            raise UsageError(
                "using --live", "standard output is no terminal, or --json is used",
                "`tcptool list`, or /stats, give the figures to a script.",
            )  # fmt: skip
        from tcptool.views.terminal.serve import LiveView

        with LiveView(sys.stdout, look) as view:
            yield view.tell, view
        return
    if session.json:
        from tcptool.views.json import serve as view_
    else:
        from tcptool.views.text import serve as view_  # type: ignore[no-redef]

    def tell(event: ServeEvent) -> None:
        view_.write(event, sys.stdout, look)
        session.remark(event.missing, event.warnings)

    yield tell, None


EPILOG = """Examples:

  tcptool serve

  tcptool serve --root . --port 8000 --access-log -

  tcptool serve --sink --bind 0.0.0.0 --port 5001

  tcptool serve --misbehave slow-read

  tcptool serve --workers 2 --live
"""
