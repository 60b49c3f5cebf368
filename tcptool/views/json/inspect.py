"""`inspect --json`: one document, or with `--watch` one a reading, flushed line by line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from tcptool.model.inspection import InspectReport, Sample, WatchEnd
from tcptool.views.json.document import document, dumps, write_document
from tcptool.views.look import Look


def write(report: InspectReport, out: IO[str], look: Look) -> None:
    """Write the document."""
    write_document(
        "inspect", report.host, report.inspection, report.missing, report.warnings, out, look
    )


def write_watch(events: Iterable[Sample | WatchEnd], out: IO[str], look: Look) -> None:
    """Write JSON Lines."""
    for event in events:
        write_end(event, out, look)


def write_end(event: Sample | WatchEnd, out: IO[str], look: Look) -> None:
    """Write one line; the end is a line like the others."""
    missing, warnings = list(event.missing), list(event.warnings)
    out.write(dumps(document("inspect-watch", event.host, event, missing, warnings)) + "\n")
    out.flush()
