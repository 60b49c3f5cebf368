"""The causes that `listeners` names, and its manual page."""

from __future__ import annotations

import re
from pathlib import Path

from tcptool.catalog.listeners import CAUSES, COUNTERS

PAGE = Path(__file__).parents[3] / "docs/man/listeners.roff"


def test_every_cause_is_in_the_page_with_its_meaning() -> None:
    text = PAGE.read_text().partition(".SH CAUSES")[2].partition("\n.SH ")[0]
    entries = re.findall(r"^\.TP\n\\fB(.*?)\\fR\n(.*)$", text, re.MULTILINE)
    assert {
        word.replace(r"\-", "-"): meaning.replace(r"\-", "-") for word, meaning in entries
    } == CAUSES


def test_counters_are_named_as_nstat_names_them() -> None:
    assert all(name.startswith("TcpExt") and meaning for name, meaning in COUNTERS.items())
