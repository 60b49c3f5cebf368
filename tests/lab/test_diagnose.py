"""`tcptool diagnose` on real connections, each slow for one known reason, or healthy.

Verdicts come from a window of three seconds on a machine that may be busy, so a doubtful miss gets
a second chance: see ``MISS_IS_DOUBTFUL_BELOW``.  A confident miss gets none.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.lab.diagnosing import Diagnosis, apply, diagnose
from tests.lab.scenarios import SCENARIOS, Scenario

State = Callable[[str], None]

MISS_IS_DOUBTFUL_BELOW = 0.5
"""A wrong verdict of less confidence is tried once more, from the start.

The relay and both programs share two processors with everything else.  Where they get no turn for
a while, packets are late or lost that the scenario does not delay or lose, and what the kernel
counts is true of the machine, not of the path.  `diagnose` prints such a verdict as unclear.
"""

BESIDE = 4
"""Quiet scenarios at a time: each costs a start of a few programs, then nearly nothing."""

BUSY = [scenario for scenario in SCENARIOS if not scenario.quiet]
QUIET = [scenario for scenario in SCENARIOS if scenario.quiet]


class Miss(AssertionError):
    """A verdict that is not true of the scenario."""

    def __init__(self, scenario: Scenario, when: str, accepted: frozenset[str], got: Diagnosis):
        self.doubtful = got.confidence < MISS_IS_DOUBTFUL_BELOW
        healthy = " of a healthy connection" if scenario.healthy else ""
        super().__init__(
            f"{scenario.name}: {scenario.what}\n"
            f"{when} not {' or '.join(sorted(accepted))}{healthy}, but {got}"
        )


def check(scenario: Scenario, state_home: str) -> str:
    """Try the scenario and say what came out; raises Miss."""
    try:
        return attempt(scenario, state_home)
    except Miss as miss:
        if not miss.doubtful:
            raise
    return f"{attempt(scenario, state_home)}, the second time"


def attempt(scenario: Scenario, state_home: str) -> str:
    with scenario.open() as case:
        said = accepted(scenario, "before", scenario.expected, diagnose(case))
        if scenario.cure is not None:
            apply(case, scenario.cure, state_home)
            after = accepted(scenario, "after the cure", scenario.cured, diagnose(case))
            said += f"; with {' '.join(scenario.cure)}: {after}"
    return said


def accepted(scenario: Scenario, when: str, verdicts: frozenset[str], got: Diagnosis) -> str:
    if got.verdict not in verdicts:
        raise Miss(scenario, when, verdicts, got)
    return f"{got.verdict} ({got.confidence:.2f})"


def by_name(scenario: Scenario) -> str:
    return scenario.name


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Future[str]]:
    """The quiet scenarios among the chosen tests, run beside each other."""
    wanted = {item.name for item in request.session.items}
    chosen = [one for one in QUIET if f"test_a_quiet_connection[{one.name}]" in wanted]
    with ThreadPoolExecutor(BESIDE) as pool:
        return {
            one.name: pool.submit(check, one, str(tmp_path_factory.mktemp(one.name)))
            for one in chosen
        }


@pytest.mark.timeout(300)  # the first one waits for all
@pytest.mark.parametrize("scenario", QUIET, ids=by_name)
def test_a_quiet_connection(
    scenario: Scenario, tried: dict[str, Future[str]], delivered: State
) -> None:
    delivered(tried[scenario.name].result())


@pytest.mark.parametrize("scenario", BUSY, ids=by_name)
def test_a_busy_connection(
    scenario: Scenario, tmp_path_factory: pytest.TempPathFactory, delivered: State
) -> None:
    delivered(check(scenario, str(tmp_path_factory.mktemp(scenario.name))))


def test_the_table_is_sound() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    for scenario in SCENARIOS:
        assert scenario.expected, scenario.name
        assert (scenario.cure is None) == (not scenario.cured), scenario.name
        assert not (scenario.healthy and scenario.cure), scenario.name
