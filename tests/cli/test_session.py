"""How an answer is to look: what was asked for, the environment and the terminal, in that order."""

from __future__ import annotations

import io
import sys

import pytest

from tcptool.cli.session import Session, wants_color
from tcptool.views.look import Look

# The first that speaks decides: --color > NO_COLOR > FORCE_COLOR, CLICOLOR_FORCE > CLICOLOR=0
# > TERM=dumb > a terminal.
YES = ({"FORCE_COLOR": "1"}, {"CLICOLOR_FORCE": "1"})
NO = ({"NO_COLOR": "1"},)
WEAK_NO = ({"CLICOLOR": "0"}, {"TERM": "dumb"})
SAYS_NOTHING: tuple[dict[str, str], ...] = (
    {},
    {"NO_COLOR": ""},  # https://no-color.org: when not empty
    {"FORCE_COLOR": ""},
    {"CLICOLOR_FORCE": ""},
    {"CLICOLOR_FORCE": "0"},  # https://bixense.com/clicolors: != 0
    {"CLICOLOR": "1"},
    {"TERM": "xterm"},
)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_color_option_is_above_all(is_terminal: bool) -> None:
    for environment in (*YES, *NO, *WEAK_NO, *SAYS_NOTHING):
        assert wants_color("always", environment, is_terminal)
        assert not wants_color("never", environment, is_terminal)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_color_by_the_environment(is_terminal: bool) -> None:
    for no in NO:
        for other in (*YES, *WEAK_NO, *SAYS_NOTHING):
            assert not wants_color("auto", other | no, is_terminal)
    for yes in YES:
        for other in (*WEAK_NO, *SAYS_NOTHING):
            assert wants_color("auto", other | yes, is_terminal)
    for weak_no in WEAK_NO:
        for other in SAYS_NOTHING:
            assert not wants_color("auto", other | weak_no, is_terminal)
    for environment in SAYS_NOTHING:
        assert wants_color("auto", environment, is_terminal) == is_terminal


class Stdout(io.TextIOWrapper):
    """A stdout of this encoding, which may be a terminal."""

    def __init__(self, encoding: str, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "123")
    return monkeypatch


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("UTF8", True), ("ascii", False), ("latin-1", False)]
)
@pytest.mark.parametrize("terminal", [True, False])
def test_look(
    encoding: str, unicode: bool, terminal: bool, plain_environment: pytest.MonkeyPatch
) -> None:
    plain_environment.setattr(sys, "stdout", Stdout(encoding, terminal=terminal))
    expected = Look(width=123, color=terminal, pretty=terminal, unicode=unicode)
    assert Session().look() == expected
    assert Session().look(explain=True).explain
    assert Session(color="never").look().color is False
    assert Session(color="always").look().color is True


@pytest.mark.parametrize(
    ("term", "terminal", "json", "readable", "drawable"),
    [
        ("xterm", True, False, True, True),
        ("dumb", True, False, True, False),
        ("unknown", True, False, True, False),
        ("xterm", False, False, False, False),
        ("xterm", True, True, False, False),
    ],
)
def test_what_a_person_reads(
    term: str,
    terminal: bool,
    json: bool,
    readable: bool,
    drawable: bool,
    plain_environment: pytest.MonkeyPatch,
) -> None:
    plain_environment.setenv("TERM", term)
    plain_environment.setattr(sys, "stdout", Stdout("utf-8", terminal=terminal))
    session = Session(json=json)
    assert (session.on_terminal(), session.on_screen()) == (readable, drawable)
