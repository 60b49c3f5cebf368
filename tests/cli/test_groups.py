"""A group of commands: listed, loaded late, and ended like every other command.

All but the last two tests run on a group of their own, tests/cli/sample_group.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Iterator

import pytest

from tcptool.cli import app
from tcptool.cli.app import Spec
from tcptool.errors import ExitCode
from tests.cli.scene import Outcome, run

GROUP = "tests.cli.sample_group"
SPEC = Spec("Paint or fail.", app.MEASURE, GROUP)


@pytest.fixture(autouse=True)
def sample(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`tcptool sample`, with no module of it loaded."""
    monkeypatch.setitem(app.COMMANDS, "sample", SPEC)
    unload()
    yield
    unload()


def unload() -> None:
    for name in loaded():
        del sys.modules[name]


def loaded() -> set[str]:
    return {name for name in sys.modules if name.startswith(GROUP)}


def sample_run(*words: str) -> Outcome:
    return run("the kernel", "sample", *words)


def test_a_group_is_listed_like_a_command() -> None:
    outcome = run(None, "--help")
    assert outcome.status == 0
    assert "Paint or fail." in outcome.out
    assert loaded() == set()


def test_the_help_of_a_group_lists_its_commands_and_loads_none() -> None:
    outcome = sample_run("--help")
    assert outcome.status == 0
    for text in ("Paint or fail.", "red", "Paint it blue.", "Fail as told.", "--coats 2"):
        assert text in outcome.out
    assert loaded() == {GROUP}


def test_a_group_alone_shows_its_help_as_tcptool_alone_does() -> None:
    alone, asked, tcptool = sample_run(), sample_run("--help"), run(None)
    assert (alone.status, alone.out) == (tcptool.status, tcptool.out) == (ExitCode.USAGE, "")
    assert alone.err.strip() == asked.out.strip()


@pytest.mark.parametrize("colour", ["red", "blue"])
def test_one_function_can_be_several_commands(colour: str) -> None:
    assert sample_run(colour, "--coats", "3").out == f"{colour} 3 the kernel\n"
    shown = sample_run(colour, "--help").out
    assert f"Paint it {colour}." in shown
    assert "The wall dries by itself." in shown
    assert "Paint in one colour." not in shown


ENDINGS = {
    "usage": ExitCode.USAGE,
    "not-found": ExitCode.NOT_FOUND,
    "io": ExitCode.FAILED,
    "bug": ExitCode.BUG,
}


@pytest.mark.parametrize(("how", "status"), ENDINGS.items())
def test_an_error_inside_a_group_is_told_once(how: str, status: ExitCode) -> None:
    outcome = sample_run("fail", how)
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.count("tcptool: ") == 1
    told = sample_run("fail", how, "--json")
    assert (told.status, told.out, told.err.count("\n")) == (status, "", 1)
    assert json.loads(told.err)["error"]["exit_code"] == status


@pytest.mark.parametrize(
    ("how", "status"),
    [("answer-is-no", ExitCode.ANSWER_IS_NO), ("interrupt", ExitCode.INTERRUPTED)],
)
def test_an_ending_inside_a_group_keeps_its_status(how: str, status: ExitCode) -> None:
    outcome = sample_run("fail", how)
    assert (outcome.status, outcome.out, outcome.err) == (status, "", "")


def test_a_traceback_is_shown_only_if_it_is_asked_for() -> None:
    assert "Traceback" in sample_run("fail", "bug", "--debug").err


USAGE_ERRORS = [
    (["rde"], "rde", "Did you mean 'red'?", "tcptool sample --help"),
    (["--frob"], "--frob", "", "tcptool sample --help"),
    (["red", "--coats", "x"], "--coats", "", "tcptool sample red --help"),
    (["red", "--coat", "2"], "--coat", "--coats", "tcptool sample red --help"),
    (["fail"], "HOW", "", "tcptool sample fail --help"),
]


@pytest.mark.parametrize(("words", "named", "meant", "hint"), USAGE_ERRORS)
def test_a_usage_error_inside_a_group(words: list[str], named: str, meant: str, hint: str) -> None:
    outcome = sample_run(*words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert "Usage: " in outcome.err
    assert named in outcome.err
    assert meant in outcome.err


@pytest.mark.parametrize(("words", "named", "meant", "hint"), USAGE_ERRORS)
@pytest.mark.parametrize("position", [1, 99])
def test_a_usage_error_inside_a_group_is_json(
    words: list[str], named: str, meant: str, hint: str, position: int
) -> None:
    told = [*words[:position], "--json", *words[position:]]
    outcome = sample_run(*told)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (ExitCode.USAGE, "", 1)
    error = json.loads(outcome.err)["error"]
    assert (error["code"], error["exit_code"]) == ("usage", ExitCode.USAGE)
    assert named in error["message"]
    assert meant in error["message"]
    assert error["hint"].endswith(f"{hint.removeprefix('tcptool ')}'.")


def test_an_option_of_a_command_is_none_of_its_group() -> None:
    outcome = sample_run("--json", "red")
    assert outcome.status == ExitCode.USAGE
    assert "--json" in json.loads(outcome.err)["error"]["message"]


def test_the_commands_of_a_group_follow_it() -> None:
    names = [name for name, _ in app.commands()]
    assert names[names.index("sample") :] == ["sample", "sample red", "sample blue", "sample fail"]


def test_commands_of_a_kind_are_on_the_page_of_their_group() -> None:
    pages = {name: app.page_name(name, spec.kind) for name, spec in app.commands()}
    assert pages["list"] == "tcptool-list"
    assert pages["sample"] == pages["sample red"] == pages["sample blue"] == "tcptool-sample"
    assert pages["sample fail"] == "tcptool-sample-fail"


REAL = [(name, spec) for name, spec in app.commands() if spec.function]


@pytest.mark.parametrize(("name", "spec"), REAL, ids=[name for name, _ in REAL])
def test_every_command_of_the_table_exists(name: str, spec: Spec) -> None:
    function = getattr(importlib.import_module(spec.module), spec.function)
    first, _, _ = inspect.getdoc(function).partition("\n\n")  # type: ignore[union-attr]
    assert spec.kind or " ".join(first.split()) == spec.summary


def test_probe_is_a_group() -> None:
    words = list(app.COMMANDS["probe"].subcommands())
    assert words == [
        *("send", "writev", "sendfile", "splice", "mmap", "zerocopy", "vmsplice"),
        *("compare", "latency", "connect", "pool", "show", "diff"),
    ]  # fmt: skip
