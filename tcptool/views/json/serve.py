"""`serve --json`: a line for each event, flushed; and the page `/stats`."""

from __future__ import annotations

from typing import IO

from tcptool.model.report import Host
from tcptool.model.serve import ServeEvent, ServeStats
from tcptool.views.json.document import document, dumps
from tcptool.views.look import Look


def write(event: ServeEvent, out: IO[str], look: Look) -> None:
    """Write one line."""
    out.write(dumps(document("serve", event.host, event, event.missing, event.warnings)) + "\n")
    out.flush()


def stats_page(stats: ServeStats, host: Host) -> bytes:
    """The document that `/stats` answers with."""
    return (dumps(document("serve-stats", host, stats, [], [])) + "\n").encode()
