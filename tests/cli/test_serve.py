"""`serve` as a command: what it refuses before anything listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcptool.catalog.misbehaviours import MISBEHAVIOURS
from tcptool.cli.serve import Misbehaviour
from tcptool.errors import ExitCode
from tests.cli.scene import run
from tests.support.fake_kernel import FakeKernel


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "-1"], "--port"),
        (["--port", "65536"], "--port"),
        (["--workers", "0"], "--workers"),
        (["--workers", "9999"], "--workers"),
        (["--max-clients", "0"], "--max-clients"),
        (["--backlog", "-1"], "--backlog"),
        (["--backlog", "2147483648"], "--backlog"),
        (["--idle-timeout", "soon"], "--idle-timeout"),
        (["--grace", "2d"], "--grace"),
        (["--sink", "--root", "/"], "--sink with --root"),
        (["--sink", "--chargen"], "do not go together"),
        (["--chargen", "--misbehave", "rst"], "do not go together"),
        (["--misbehave", "politely"], "slow-read"),
        (["--unix", "/nowhere/sock", "--bind", "127.0.0.1"], "--unix with an address"),
        (["--unix", "/nowhere/sock", "-6"], "--unix with an address"),
        (["--unix", "/nowhere/sock", "--set", "nodelay=1"], "a Unix socket has no such option"),
        (["--live"], "no terminal"),
        (["--set", "nonsense"], "nonsense"),
        (["--set", "no_such_option=1"], "no_such_option"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    outcome = run(FakeKernel(tmp_path), "serve", *words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert said in outcome.err


def test_every_misbehaviour_of_the_catalog_can_be_chosen() -> None:
    assert list(Misbehaviour) == list(MISBEHAVIOURS)
