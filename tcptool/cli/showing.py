"""Showing the report that `apply`, `verify` and `undo` share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tcptool.cli.session import Session
    from tcptool.model.change import ChangeReport


def show_changes(session: Session, report: ChangeReport) -> None:
    """Write the report as the session was asked to, and the remarks."""
    if session.json:
        from tcptool.views.json import changes as json_view

        json_view.write(report, sys.stdout, session.look())
    else:
        from tcptool.views.text import changes as view

        write = view.write_for_people if session.on_terminal() else view.write
        write(report, sys.stdout, session.look())
    session.remark(report.missing, report.warnings)
