"""Rules for the whole suite, and the fixtures of tests/support."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports typer: help and errors are compared as text.
os.environ["TYPER_USE_RICH"] = "0"

pytest_plugins = ["tests.support.golden", "tests.support.netns"]

TESTS = Path(__file__).parent
CI = os.environ.get("CI") == "true"
# A machine that can run everything: there a skipped test is one that silently ran nowhere.
MAY_NOT_SKIP = CI and os.geteuid() == 0

# A shared machine is slow at times, and CI must say the same thing twice about the same tree.
settings.register_profile("tcptool", deadline=None, derandomize=CI)
settings.load_profile("tcptool")


def kernel_marker(path: Path) -> str | None:
    """``live`` or ``lab`` for a test of the folder of that name, else None."""
    for folder in ("live", "lab"):
        if path.is_relative_to(TESTS / folder):
            return folder
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        uses_netns = "netns" in getattr(item, "fixturenames", ())
        if marker := kernel_marker(item.path) or ("live" if uses_netns else None):
            item.add_marker(marker)


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that shows its reason."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = (
            f"{reason}\nUnder CI=true as root a skipped live or lab test is a failure."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if MAY_NOT_SKIP and (item.get_closest_marker("live") or item.get_closest_marker("lab")):
        forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield  # of a module: pytest.importorskip, or a skip at its top
    if MAY_NOT_SKIP and kernel_marker(collector.path):
        forbid_skip(report)
    return report
