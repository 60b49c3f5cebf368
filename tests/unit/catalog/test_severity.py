"""The order of severities."""

from __future__ import annotations

import itertools

from tcptool.catalog.severity import Severity


def test_each_reaches_itself_and_what_is_milder() -> None:
    for milder, worse in itertools.combinations(Severity, 2):
        assert worse.reaches(milder)
        assert not milder.reaches(worse)
    assert all(one.reaches(one) for one in Severity)
