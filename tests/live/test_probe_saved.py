"""`probe show` and `probe diff`: results that were saved with -o."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.program import table_of, tcptool
from tests.support.children import ROOT
from tests.support.netns import NetNs

RUNS = {
    "compare": ("probe", "compare", "--methods", "send,splice", "--size", "2M", "--slice", "128K"),
    "send": ("probe", "send", "--size", "2M", "--slice", "128K", "--set", "TCP_CONGESTION=reno"),
    "latency": ("probe", "latency", "--requests", "100", "--blocks", "6"),
    "connect": ("probe", "connect", "--connections", "240"),
    "pool": ("probe", "pool", "--requests", "240"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A result of each kind, in files."""
    folder = tmp_path_factory.mktemp("saved")
    files = {kind: folder / f"{kind}.json" for kind in RUNS}
    for kind, words in RUNS.items():
        assert tcptool(*words, "-o", files[kind]).status == 0
    return files


def changed(file: Path, to: Path, **data: Any) -> Path:
    """A copy with other values under ``data``."""
    document = json.loads(file.read_text())
    document["data"] |= data
    to.write_text(json.dumps(document))
    return to


def slower(file: Path, to: Path) -> Path:
    """A copy of a transfer in which each slice took twice as long, and twice the CPU time."""
    results = json.loads(file.read_text())["data"]["results"]
    for result in results:
        for one in result["slices"]:
            one["elapsed_s"] *= 2
            one["near_cpu_s"] *= 2
    return changed(file, to, results=results)


@pytest.mark.parametrize("kind", RUNS)
def test_a_result_is_shown_again(kind: str, saved: dict[str, Path]) -> None:
    assert tcptool("probe", "show", saved[kind], "--json").json == json.loads(
        saved[kind].read_text()
    )
    shown = tcptool("probe", "show", saved[kind])
    assert shown.lines
    assert "measured 20" in shown.err
    assert "Linux" in shown.err


def test_a_result_comes_from_standard_input(saved: dict[str, Path]) -> None:
    with saved["send"].open() as file:
        done = subprocess.run(
            [sys.executable, "-m", "tcptool", "probe", "show", "-", "-q"],
            stdin=file,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    assert done.stdout == tcptool("probe", "show", saved["send"], "-q").out


@pytest.mark.parametrize("kind", RUNS)
def test_a_result_is_not_worse_than_itself(kind: str, saved: dict[str, Path]) -> None:
    run = tcptool("probe", "diff", saved[kind], saved[kind], "--fail-above", "5%")
    rows = table_of([line for line in run.lines if not line.startswith("#")])
    assert rows
    assert {row["worse"] for row in rows} == {"no"}
    assert {row["effect_percent"] for row in rows if row["verdict"] != "too-few"} == {"0"}
    assert "not interleaved" in run.err


def test_what_got_worse_is_told_and_fails(saved: dict[str, Path], tmp_path: Path) -> None:
    other = slower(saved["compare"], tmp_path / "slower.json")
    run = tcptool("probe", "diff", saved["compare"], other, "--json")
    changes = {(one["of"], one["metric"]): one for one in run.data["changes"]}
    assert set(changes) == {
        (method, metric) for method in ("send", "splice") for metric in ("rate", "cpu")
    }
    assert all(one["worse"] for one in changes.values())
    assert changes["send", "rate"]["outcome"]["verdict"] == "less"
    assert tcptool("probe", "diff", saved["compare"], other, "--fail-above", "20%").status == 1
    assert tcptool("probe", "diff", saved["compare"], other, "--fail-above", "500").status == 0
    back = tcptool("probe", "diff", other, saved["compare"], "--fail-above", "20%")
    assert back.status == 0
    assert tcptool("probe", "diff", saved["compare"], other).status == 0


def test_what_else_differs_is_told(saved: dict[str, Path]) -> None:
    run = tcptool("probe", "diff", saved["compare"], saved["send"])
    assert "# only before: splice" in run.lines
    assert any("congestion_control" in line and "reno" in line for line in run.lines)
    assert any("methods: send, splice before, send after" in line for line in run.lines)


def test_an_unfinished_result_is_told(saved: dict[str, Path], tmp_path: Path) -> None:
    half = changed(saved["send"], tmp_path / "half.json", complete=False)
    warnings = tcptool("probe", "diff", half, saved["send"], "--json").json["warnings"]
    assert [one["id"] for one in warnings] == ["not-interleaved", "not-complete"]


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("", 6, "not JSON"),
        ("[]", 2, "its schema is None"),
        ("{", 6, "not JSON"),
        ('{"schema": "tcptool.probe-send/1", "data": NaN}', 6, "NaN is no number"),
        ("[" * 100_000, 6, "not JSON"),
        ('{"schema": "tcptool.list/1"}', 2, "'tcptool.list/1'"),
        ('{"schema": "tcptool.probe-compare/2"}', 6, "version 2"),
        ('{"schema": "tcptool.probe-compare"}', 6, "version"),
        (
            '{"schema": "tcptool.probe-compare/1", "tcptool": "1"}',
            6,
            "document.time: a value is expected",
        ),
    ],
)
def test_what_is_no_result(text: str, status: int, said: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    tcptool("probe", "show", file).failed(status, said, str(file))


def test_what_cannot_be_read(tmp_path: Path, saved: dict[str, Path]) -> None:
    tcptool("probe", "show", tmp_path / "none").failed(3, "ENOENT")
    tcptool("probe", "show", tmp_path).failed(6, "EISDIR")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    tcptool("probe", "show", binary).failed(6, "not text")
    bad = changed(saved["send"], tmp_path / "bad.json", source_bytes="many")
    tcptool("probe", "show", bad).failed(6, "data.source_bytes: a whole number is expected")


def test_two_kinds_do_not_compare(saved: dict[str, Path]) -> None:
    tcptool("probe", "diff", saved["send"], saved["latency"]).failed(2, "`probe latency`")


@pytest.mark.parametrize("text", ["", "many", "0", "5s", "2000%"])
def test_a_threshold_is_a_share(text: str, saved: dict[str, Path]) -> None:
    file = saved["send"]
    tcptool("probe", "diff", file, file, "--fail-above", text).failed(2, "--fail-above")


def test_a_result_is_not_saved_where_it_cannot_be(netns: NetNs, tmp_path: Path) -> None:
    for kind in ("latency", "connect"):
        tcptool(*RUNS[kind], "-o", tmp_path / "no" / "file").failed(3, "Nothing was measured")


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("compare", {"results": []}, "one at least"),
        ("compare", {"fastest": ["carrier-pigeon"]}, "carrier-pigeon"),
        ("latency", {"arms": []}, "one at least"),
        ("connect", {"ended_by": "magic"}, "magic"),
        ("pool", {"arms": []}, "one at least"),
    ],
)
def test_values_that_no_measurement_gives(
    kind: str, data: dict[str, Any], said: str, saved: dict[str, Path], tmp_path: Path
) -> None:
    bad = changed(saved[kind], tmp_path / "bad.json", **data)
    tcptool("probe", "show", bad).failed(6, said)
    tcptool("probe", "diff", bad, bad).failed(6, said)


@pytest.mark.parametrize(
    ("kind", "path", "word"),
    [
        ("send", ("results", 0, "method"), "carrier-pigeon"),
        ("send", ("plan", "path"), "tin cans"),
        ("send", ("plan", "receiver"), "nobody"),
        ("connect", ("plan", "closer"), "nobody"),
        ("latency", ("arms", 0, "base"), "nobody"),
        ("latency", ("arms", 0, "requests"), 0),
        ("send", ("results", 0, "slices", 0, "payload_bytes"), 0),
        ("send", ("results", 0, "slices"), []),
    ],
)
def test_a_word_that_means_nothing_here(
    kind: str, path: tuple[Any, ...], word: object, saved: dict[str, Path], tmp_path: Path
) -> None:
    document = json.loads(saved[kind].read_text())
    place = document["data"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = word
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(document))
    tcptool("probe", "show", bad).failed(6, "data.")


@pytest.mark.parametrize("kind", RUNS)
def test_no_text_of_a_file_can_do_anything_to_a_terminal(
    kind: str, saved: dict[str, Path], tmp_path: Path
) -> None:
    """Every string that is free is replaced; where that is no result any more, it is an error."""
    original = json.loads(saved[kind].read_text())
    hostile = "\x1b]0;pwned\x07\u202e"
    bad = tmp_path / "bad.json"
    for change in strings(original):
        document = json.loads(saved[kind].read_text())
        change(document, hostile)
        bad.write_text(json.dumps(document))
        for words in (("show", bad), ("diff", bad, saved[kind])):
            run = tcptool("probe", *words)
            assert run.status in (0, 2, 6), run
            for text in (run.out, run.err):
                assert "\x1b" not in text
                assert "\u202e" not in text


def strings(document: Any, path: tuple[Any, ...] = ()) -> list[Any]:
    """A function for each place of a string, at most two of each list, that puts another there."""
    if isinstance(document, str):

        def change(whole: Any, text: str) -> None:
            for step in path[:-1]:
                whole = whole[step]
            whole[path[-1]] = text

        return [change]
    items: list[tuple[Any, Any]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))[:1]
    return [found for key, value in items for found in strings(value, (*path, key))]


def test_standard_input_holds_one_result(saved: dict[str, Path]) -> None:
    tcptool("probe", "diff", "-", "-").failed(6, "not JSON")


def test_few_readings_judge_nothing_and_that_is_no_success(tmp_path: Path) -> None:
    few = tmp_path / "few.json"
    words = ("probe", "send", "--size", "64K", "--slice", "16K", "--connections", 2, "-o", few)
    assert tcptool(*words).status == 0
    run = tcptool("probe", "diff", few, few, "--fail-above", "5%")
    assert run.status == 6
    assert "nothing could be judged" in run.err


def test_a_result_is_saved_though_nobody_reads_the_output(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", "tcptool", *RUNS["send"], "-o", str(file), "-q"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 6
    assert json.loads(file.read_text())["data"]["complete"] is True
