"""The manual pages: complete, correct roff, and dated by the changelog."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tcptool.actions.explain import NOT_COLUMNS
from tcptool.actions.options import ALL
from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, VegasInfo
from tcptool.catalog.columns import COLUMNS
from tcptool.catalog.methods import METHODS
from tcptool.catalog.options import Risk, SocketOption
from tcptool.catalog.registry import members
from tcptool.cli.app import commands
from tcptool.errors import ExitCode
from tools import man, man_tables, roff, tree

PAGES = {**man.files(), **man_tables.files()}
COMMAND_PAGES = {command.page: command for command in tree.pages()}


def options_in(page: str) -> set[str]:
    """Every spelling that stands as a tag of the section OPTIONS."""
    section = re.search(r"^\.SH OPTIONS\n(.*?)^\.SH ", page, re.MULTILINE | re.DOTALL)
    assert section
    tags = re.findall(r"^\.TP\n(.*)$", section[1], re.MULTILINE)
    words = {word for tag in tags for word in re.findall(r"\\fB(.*?)\\fR", tag)}
    return {word.replace("\\-", "-") for word in words}


def test_every_command_has_a_page() -> None:
    names = (name for name, spec in commands() if not spec.kind)
    expected = {"tcptool.1", *(f"tcptool-{name.replace(' ', '-')}.1" for name in names)}
    assert expected | {f"{name}.7" for name in man_tables.PAGES} == set(PAGES)


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
    written = {path.stem for path in (roff.ROOT / "docs" / "man").iterdir()}
    assert written <= {page.removeprefix("tcptool-") for page in COMMAND_PAGES}


def test_every_exit_status_is_described() -> None:
    section = PAGES["tcptool.1"].partition(".SH EXIT STATUS\n")[2].partition(".SH ")[0]
    assert re.findall(r"\\fB(\d+)\\fR", section) == [str(int(status)) for status in ExitCode]


def tags_in(text: str) -> list[str]:
    """The names that are explained there."""
    return [tag.replace("\\-", "-") for tag in re.findall(r"^\.TP\n\\fB(\S+?)\\fR", text, re.M)]


def test_every_column_is_described() -> None:
    columns, _, others = PAGES["tcptool-fields.7"].partition(".SH WORKED OUT FOR INSPECT\n")
    assert sorted(tags_in(columns)) == sorted(COLUMNS)
    structures = (BbrInfo, VegasInfo, DctcpInfo, MptcpInfo)
    names = [name for one in structures for name in members(one) if name != "reserved"]
    assert sorted(tags_in(others)) == sorted([*NOT_COLUMNS, *names])


def test_every_option_is_described() -> None:
    _, _, table = PAGES["tcptool-options.7"].partition(".SH SOCKET LEVEL\n")
    assert tags_in(table) == [option.name for option in ALL]


@pytest.mark.parametrize("option", ALL, ids=lambda option: option.name)
def test_an_option_is_described_in_full(option: SocketOption) -> None:
    page = PAGES["tcptool-options.7"].partition(".SH SOCKET LEVEL\n")[2]
    tag = f".TP\n\\fB{option.name}\\fR"
    entry = page.partition(f"{tag} ")[2].partition("\n.TP\n")[0].partition("\n.SH ")[0]
    for text in (option.doc, option.pitfall, option.range_text, option.source, option.privilege):
        assert roff.roff(text.rstrip(".")) in entry
    assert ("It can only be read." in entry) != option.settable
    assert (f"Risk: {option.risk.value}." in entry) == option.settable
    assert ("\\-\\-force" in entry) == (option.settable and option.risk is Risk.REFUSE)
    assert option.since in entry


def test_an_entry_reads_well() -> None:
    page = PAGES["tcptool-options.7"].replace("\\-", "-")
    entry = page.partition(".TP\n\\fBTCP_RTO_MAX_MS\\fR")[2].partition("\n.TP\n")[0]
    assert entry.splitlines()[0] == " (milliseconds, IPPROTO_TCP 44, since Linux 6.15)"
    assert "Default: net.ipv4.tcp_rto_max_ms." in entry
    assert "Inherited by accept(): yes." in entry
    assert entry.endswith("Example: \\fBtcptool apply PID:FD TCP_RTO_MAX_MS=10s\\fR")


def section(page: str, title: str) -> str:
    return PAGES[page].partition(f".SH {title}\n")[2].partition("\n.SH ")[0].replace("\\-", "-")


def test_the_page_of_a_group_is_that_of_its_methods() -> None:
    probe, method = (
        next(one for one in tree.commands() if one.name == name)
        for name in ("probe", "probe sendfile")
    )
    page = COMMAND_PAGES["tcptool-probe"]
    assert method.page == page.page == "tcptool-probe"
    assert (page.name, page.summary) == ("probe", probe.summary)
    assert (page.options, page.arguments) == (method.options, method.arguments)
    assert page.description == method.description
    assert set(page.examples) == {*probe.examples, *method.examples}
    synopsis = section("tcptool-probe.1", "SYNOPSIS").splitlines()
    assert synopsis[0].startswith("\\fBtcptool\\fR \\fBprobe\\fR \\fIMETHOD\\fR [\\fIOPTIONS\\fR]")
    assert synopsis[-1].endswith("\\fBprobe\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")


def test_the_page_of_a_group_leads_to_what_is_in_it() -> None:
    page = "tcptool-probe.1"
    assert tags_in(section(page, "METHODS")) == [method.name for method in METHODS]
    words = ["compare", "latency", "connect", "pool", "show", "diff"]
    assert tags_in(section(page, "COMMANDS")) == words
    for word in words:
        assert f"See \\fBtcptool-probe-{word}\\fR(1)." in section(page, "COMMANDS")
        assert f"\\fBtcptool-probe-{word}\\fR(1)" in section(page, "SEE ALSO")


def test_what_is_in_a_group_is_left_to_the_pages_of_the_group() -> None:
    assert "probe-diff" in section("tcptool-probe-compare.1", "SEE ALSO")
    for page in ("tcptool.1", "tcptool-list.1"):
        assert "\\fBtcptool-probe\\fR(1)" in section(page, "SEE ALSO")
        assert "probe-" not in section(page, "SEE ALSO")
    assert "probe" in tags_in(section("tcptool.1", "COMMANDS"))
    assert "sendfile" not in tags_in(section("tcptool.1", "COMMANDS"))


def test_an_alias_is_mentioned() -> None:
    assert "\\fBtcptool ls\\fR is the same command." in PAGES["tcptool-list.1"]


def test_the_date_is_that_of_the_newest_release() -> None:
    log = "## [Unreleased]\n\n## [0.2.0] - 2027-02-03\n\n## [0.1.0] - 2026-12-01\n"
    assert roff.released(log) == "2027-02-03"
    assert roff.released("## [Unreleased]\n") == roff.BEGUN


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
    assert roff.roff(text) == escaped
