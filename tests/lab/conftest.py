"""After the tests, what the laboratory delivered: asked for, and measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PROPERTY = "delivered"


@pytest.fixture
def delivered(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Called with a text, states at the end of the run what this test has measured."""

    def state(text: str) -> None:
        record_property(PROPERTY, text)

    return state


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for category in ("passed", "failed")
        for report in terminalreporter.getreports(category)
        if report.when == "call"
        for name, text in report.user_properties
        if name == PROPERTY
    ]
    if lines:
        terminalreporter.section("what the laboratory delivered")
        for line in lines:
            terminalreporter.write_line(line)
