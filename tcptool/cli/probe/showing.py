"""Showing a result of `probe`, just measured or saved."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tcptool.views.json.document import write_document

if TYPE_CHECKING:
    from tcptool.cli.probe.common import Report
    from tcptool.cli.session import Session

_TRANSFER: Final = (("text.transfer", "write"), ("terminal.transfer", "write"))
_VIEWS: Final = {
    "probe-transfer": _TRANSFER,
    "probe-compare": _TRANSFER,
    "probe-latency": (("text.latency", "write"), ("text.latency", "write_for_people")),
    "probe-connect": (("text.connect", "write"), ("text.connect", "write_for_people")),
    "probe-pool": (("text.pool", "write"), ("text.pool", "write_for_people")),
    "probe-diff": (("text.probe_diff", "write"), ("text.probe_diff", "write_for_people")),
}
"""Module and function that write to a pipe, and to a terminal."""


def show(session: Session, name: str, report: Report) -> None:
    """Write the report as the session was asked to, and the remarks."""
    look = session.look()
    if session.json:
        missing, warnings = report.missing, report.warnings
        write_document(name, report.host, report, missing, warnings, sys.stdout, look)
    else:
        module, function = _VIEWS[name][session.on_terminal()]
        write: Any = getattr(import_module(f"tcptool.views.{module}"), function)
        write(report, sys.stdout, look)
    session.remark(report.missing, report.warnings)


def show_and_save(session: Session, name: str, report: Report, output: str | None) -> None:
    """Write the report, and first to the file of -o: what reads stdout may have gone."""
    try:
        if output is not None:
            _save(output, name, report)
    finally:
        show(session, name, report)


def _save(output: str, name: str, report: Report) -> None:
    """Write the document that --json writes."""
    from tcptool.linux.results import write_whole
    from tcptool.views.json.document import document, dumps

    data = document(name, report.host, report, report.missing, report.warnings)
    write_whole(output, dumps(data) + "\n")
