"""`doctor --json`: one document with every check."""

from __future__ import annotations

from typing import IO

from tcptool.model.doctor import DoctorReport
from tcptool.views.json.document import write_document
from tcptool.views.look import Look


def write(report: DoctorReport, out: IO[str], look: Look) -> None:
    """Write the document."""
    write_document("doctor", report.host, report, report.missing, report.warnings, out, look)
