"""Recordings from the laboratory are judged as what they were: tests/data/diagnose/recordings.

Each is `tcptool diagnose --for 3s --record` on the scenario of its name in tests/lab/scenarios.py,
on Linux 6.18, compressed with `gzip -9`.  `tcptool diagnose --from` shows what is in them.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tcptool.analysis.verdict.judge import diagnose
from tcptool.decode.recording import observe
from tcptool.sansio.recording import read_recordings
from tests.lab.scenarios import SCENARIOS

FOLDER = Path(__file__).resolve().parents[3] / "data" / "diagnose" / "recordings"
RECORDINGS = sorted(FOLDER.glob("*.jsonl.gz"))
EXPECTED = {scenario.name: scenario.expected for scenario in SCENARIOS}


@pytest.mark.parametrize("path", RECORDINGS, ids=[path.name for path in RECORDINGS])
def test_a_recording_of_the_laboratory(path: Path) -> None:
    recorded = read_recordings(gzip.decompress(path.read_bytes()).decode())
    assert recorded.complete
    [recording] = recorded.recordings
    found = diagnose(observe(recording, live=False))
    assert found.verdict in EXPECTED[path.name.removesuffix(".jsonl.gz")], found.evidence
    assert found.evidence
