"""`explain` finds what `doctor` speaks of: sysctls, counters and checks."""

from __future__ import annotations

import pytest

from tcptool.actions.explain import explain
from tcptool.catalog.counters import COUNTERS
from tcptool.catalog.host_checks import HOST_CHECKS
from tcptool.catalog.sysctls import SYSCTLS


def kinds(word: str) -> dict[str, str]:
    return {entry.kind: entry.name for entry in explain(word)}


@pytest.mark.parametrize("name", SYSCTLS)
def test_a_sysctl_by_its_whole_name_and_by_its_last_word(name: str) -> None:
    assert kinds(name)["sysctl"] == name
    assert kinds(name.rpartition(".")[2])["sysctl"] == name


@pytest.mark.parametrize("name", COUNTERS)
def test_a_counter_by_the_name_of_nstat_and_by_that_in_its_file(name: str) -> None:
    assert kinds(name)["counter"] == name
    assert kinds(COUNTERS[name].place.split()[-1])["counter"] == name


@pytest.mark.parametrize("check", HOST_CHECKS)
def test_a_check_by_its_id(check: str) -> None:
    [entry] = explain(check.lower())
    assert (entry.kind, entry.name) == ("check of doctor", check)
    assert HOST_CHECKS[check].why in entry.meaning
