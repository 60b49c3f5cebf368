"""What may stand in a completion script.  How the scripts behave: tests/live/test_completion.py."""

from __future__ import annotations

import re

import pytest

from tcptool.catalog.methods import METHODS
from tcptool.cli.app import COMMANDS
from tools import completions, tree

SCRIPTS = completions.files()


def test_a_description_keeps_only_harmless_characters() -> None:
    assert completions.harmless("It's `x`; $(rm) [a]\n.") == "Its x, rm a"
    assert completions.harmless("then send(2) it (again).") == "then send it again"


@pytest.mark.parametrize("word", ["$(x)", "a b", "-x", "'", "", "a:b"])
def test_a_word_that_a_shell_could_obey_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="must not stand"):
        completions._words((word,))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_option_of_every_command_is_offered(name: str) -> None:
    spelled = "-l {}" if name.endswith("fish") else "{}"
    for command in tree.commands():
        for option in command.options:
            long = option.spellings[-1]
            text = spelled.format(long[2:]) if name.endswith("fish") else long
            assert re.search(rf"(?<![\w-]){re.escape(text)}(?![\w-])", SCRIPTS[name]), (name, long)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_evaluates_text(name: str) -> None:
    assert re.search(r"\beval\b|_call_program", SCRIPTS[name]) is None


def test_every_named_value_belongs_to_a_parameter() -> None:
    used = {p.name for c in tree.commands() for p in (*c.options, *c.arguments)}
    assert set(completions.VALUES) <= used


def test_every_command_has_a_case_and_those_of_a_kind_share_one() -> None:
    everything = [tree.program(), *tree.commands()]
    cases = list(completions._cases(everything))
    names = [name for case in cases for name in case.names]
    assert sorted(names) == sorted(name for command in everything for name in command.names)
    (methods,) = [case for case in cases if "probe send" in case.names]
    assert methods.names == tuple(f"probe {method.name}" for method in METHODS)
    alike = [command for command in everything if command.name in methods.names]
    assert {(one.arguments, one.options) for one in alike} == {
        (methods.command.arguments, methods.command.options)
    }


def test_a_group_offers_what_is_in_it() -> None:
    cases = completions._cases([tree.program(), *tree.commands()])
    groups = {case.command.name: [one.word for one in case.inside] for case in cases if case.inside}
    assert groups == {"": list(COMMANDS), "probe": list(COMMANDS["probe"].subcommands())}
