"""What may stand in a completion script.  How the scripts behave: tests/live/test_completion.py."""

from __future__ import annotations

import re

import pytest

from tools import completions, tree

SCRIPTS = completions.files()


def test_a_description_keeps_only_harmless_characters() -> None:
    assert completions.harmless("It's `x`; $(rm) [a]\n.") == "Its x, rm a"


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
