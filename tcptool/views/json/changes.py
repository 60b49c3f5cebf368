"""`apply --json`, `verify --json` and `undo --json`: one document."""

from __future__ import annotations

from typing import IO

from tcptool.model.change import ChangeReport
from tcptool.views.json.document import write_document
from tcptool.views.look import Look


def write(report: ChangeReport, out: IO[str], look: Look) -> None:
    """Write the document, named after the action."""
    write_document(report.action, report.host, report, report.missing, report.warnings, out, look)
