"""`undo --list --json`: one document."""

from __future__ import annotations

from typing import IO

from tcptool.model.undo import UndoList
from tcptool.views.json.document import write_document
from tcptool.views.look import Look


def write_list(report: UndoList, out: IO[str], look: Look) -> None:
    """Write the document of `--list`."""
    write_document("undo-list", report.host, report, report.missing, report.warnings, out, look)
