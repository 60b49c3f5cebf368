"""The manual pages: complete, correct roff, and dated by the changelog."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tcptool.catalog.columns import COLUMNS
from tcptool.cli.app import COMMANDS
from tcptool.errors import ExitCode
from tools import man, tree

PAGES = man.files()
COMMAND_PAGES = {command.page: command for command in (tree.program(), *tree.commands())}


def options_in(page: str) -> set[str]:
    """Every spelling that stands as a tag of the section OPTIONS."""
    section = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH ", page, re.MULTILINE | re.DOTALL)
    assert section
    tags = re.findall(r"^\.TP\n(.*)$", section[1], re.MULTILINE)
    words = {word for tag in tags for word in re.findall(r"\\fB(.*?)\\fR", tag)}
    return {word.replace("\\-", "-") for word in words}


def test_every_command_has_a_page() -> None:
    assert {f"tcptool-{name}.1" for name in COMMANDS} | {"tcptool.1", "tcptool-fields.1"} == set(
        PAGES
    )


@pytest.mark.parametrize("page", COMMAND_PAGES)
def test_the_options_of_the_page_are_those_of_the_program(page: str) -> None:
    expected = {name for option in COMMAND_PAGES[page].options for name in option.spellings}
    assert options_in(PAGES[f"{page}.1"]) == expected


@pytest.mark.parametrize("page", COMMAND_PAGES)
def test_every_option_has_a_help_text(page: str) -> None:
    parameters = (*COMMAND_PAGES[page].options, *COMMAND_PAGES[page].arguments)
    assert [parameter.name for parameter in parameters if not parameter.help] == []


@pytest.mark.parametrize("name", PAGES)
def test_mandoc_and_groff_have_nothing_to_say(name: str, tmp_path: Path) -> None:
    checkers = (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-man", "-ww", "-z"])
    available = [checker for checker in checkers if shutil.which(checker[0])]
    if not available:
        pytest.skip("neither mandoc nor groff is installed")
    (tmp_path / name).write_text(PAGES[name])
    for checker in available:
        done = subprocess.run(
            [*checker, tmp_path / name], check=False, capture_output=True, text=True
        )
        assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_ascii_without_trailing_blanks(name: str) -> None:
    assert PAGES[name].isascii()
    assert re.search(r"[ \t]$|\n\n", PAGES[name], re.MULTILINE) is None


def test_every_hand_written_section_belongs_to_a_command() -> None:
    written = {path.stem for path in (man.ROOT / "docs" / "man").iterdir()}
    assert written <= {"tcptool", *COMMANDS}


def test_every_exit_status_is_described() -> None:
    section = PAGES["tcptool.1"].partition(".SH EXIT STATUS\n")[2].partition(".SH ")[0]
    assert re.findall(r"\\fB(\d+)\\fR", section) == [str(int(status)) for status in ExitCode]


def test_every_column_is_described() -> None:
    tags = re.findall(r"^\.TP\n\\fB(\S+?)\\fR", PAGES["tcptool-fields.1"], re.MULTILINE)
    assert sorted(tags) == sorted(COLUMNS)


def test_an_alias_is_mentioned() -> None:
    assert "\\fBtcptool ls\\fR is the same command." in PAGES["tcptool-list.1"]


def test_the_date_is_that_of_the_newest_release() -> None:
    log = "## [Unreleased]\n\n## [0.2.0] - 2027-02-03\n\n## [0.1.0] - 2026-12-01\n"
    assert man.released(log) == "2027-02-03"
    assert man.released("## [Unreleased]\n") == man.BEGUN


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a -b", "a \\-b"),
        (".x", "\\&.x"),
        ("'x", "\\(aqx"),
        ("\\n", "\\en"),
        ("use `ls -l`", "use \\fBls \\-l\\fR"),
        ("5 µs", "5 \\[u00B5]s"),
    ],
)
def test_text_is_not_taken_for_roff(text: str, escaped: str) -> None:
    assert man.roff(text) == escaped
