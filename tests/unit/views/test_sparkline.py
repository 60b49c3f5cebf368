"""A history as a row of bars."""

from __future__ import annotations

import pytest

from tcptool.views.terminal.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "width", "bars"),
    [
        ([], 5, ""),
        ([7], 5, "▁"),
        ([7, 7, 7], 5, "▁▁▁"),
        ([0, 70], 5, "▁█"),
        ([0, 10, 20, 30, 40, 50, 60, 70], 8, "▁▂▃▄▅▆▇█"),
        ([9000, 0, 70], 2, "▁█"),
        ([0, None, 70], 5, "▁ █"),
        ([None, None], 5, "  "),
        ([-70, 0], 5, "▁█"),
        ([1, 2, 3], 0, ""),
        ([1, 2, 3], -20, ""),
    ],
)
def test_bars(values: list[float | None], width: int, bars: str) -> None:
    assert sparkline(values, width) == bars


def test_bars_of_ascii() -> None:
    assert sparkline([0, 10, 20, 30, 40, 50], 9, unicode=False) == "_.-=*#"
