"""`tcptool help`, `completion` and `schema`."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackagePath
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tcptool.cli import help as help_module
from tcptool.cli import installed
from tcptool.cli.app import app
from tcptool.cli.help import TOPICS
from tcptool.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def outside_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if tcptool had been installed below the returned folder, without any file there yet."""
    monkeypatch.setattr(installed, "SOURCE_TREE", tmp_path / "nowhere")

    class Installed(PackagePath):
        def locate(self) -> Path:
            return tmp_path / self

    def files(_name: str) -> list[Any]:
        found = (path for path in tmp_path.rglob("*") if path.is_file())
        return [Installed(path.relative_to(tmp_path)) for path in found]

    monkeypatch.setattr(installed, "files", files)
    return tmp_path


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_a_page_in_plain_text(topic: str) -> None:
    result = run("help", topic)
    assert result.exit_code == 0
    assert "NAME" in result.stdout
    assert not {"\x1b", "\x08"} & set(result.stdout)


@pytest.mark.parametrize("formatter", help_module._FORMATTERS, ids=lambda words: words[0])
def test_every_formatter_gives_the_same_words(
    formatter: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(help_module, "_FORMATTERS", (formatter,))
    text = run("help", "list").stdout
    if "NAME" not in text:
        pytest.skip(f"{formatter[0]} is not installed")
    assert "--no-owners" in text
    assert not {"\x1b", "\x08"} & set(text)


def test_the_options_are_a_command_and_a_table() -> None:
    assert "--settable" in run("help", "options").stdout
    assert "SO_SNDBUF (bytes, SOL_SOCKET 7)" in run("help", "options.7").stdout


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["probe"], "TCPTOOL-PROBE(1)"),
        (["probe", "sendfile"], "TCPTOOL-PROBE(1)"),
        (["probe-sendfile"], "TCPTOOL-PROBE(1)"),
        (["probe", "compare"], "TCPTOOL-PROBE-COMPARE(1)"),
        (["probe-compare"], "TCPTOOL-PROBE-COMPARE(1)"),
    ],
)
def test_a_command_of_a_group_has_its_own_page_or_the_group_s(words: list[str], page: str) -> None:
    assert run("help", *words).stdout.startswith(page)


def test_help_on_nothing_is_about_tcptool() -> None:
    assert "PRIVILEGES" in run("help").stdout


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lits"], "did you mean list"),
        (["probe", "sendfil"], "did you mean probe-sendfile"),
        (["list", "xyzzy"], "'list xyzzy'"),
        ([""], "''"),
    ],
)
def test_an_unknown_topic_is_a_usage_error(words: list[str], meant: str) -> None:
    result = run("help", *words)
    assert result.exit_code == ExitCode.USAGE
    assert meant in result.stderr


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("list", ("list [OPTIONS]", "--no-owners")),
        ("ls", ("list [OPTIONS]", "--no-owners")),
        ("probe", ("probe [OPTIONS] COMMAND", "sendfile")),
        ("probe-sendfile", ("probe sendfile [OPTIONS]", "--json")),
        ("probe compare", ("probe compare [OPTIONS]", "--json")),
    ],
)
def test_without_a_formatter_the_options_are_shown(
    topic: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(help_module, "_FORMATTERS", ())
    shown = run("help", *topic.split()).stdout
    for word in words:
        assert word in shown


@pytest.mark.usefixtures("outside_the_tree")
def test_without_pages_the_options_are_shown() -> None:
    assert "Usage: " in run("help").stdout
    assert "Usage: " in run("help", "fields").stdout


def test_on_a_terminal_man_shows_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    man = tmp_path / "man"
    man.write_text("#!/bin/sh\necho man $1 ${2##*/}\n")
    man.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert help_module._show(ROOT / "man" / "man1" / "tcptool-list.1")
    assert capfd.readouterr().out == "man -l tcptool-list.1\n"


def test_on_a_terminal_without_man_the_text_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not help_module._show(ROOT / "man" / "man1" / "tcptool-list.1")


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "tcptool.bash"), ("zsh", "_tcptool"), ("fish", "tcptool.fish")]
)
def test_completion_prints_the_committed_script(shell: str, file: str) -> None:
    assert run("completion", shell).stdout == (ROOT / "completions" / file).read_text()


def test_completion_finds_the_script_that_was_installed(outside_the_tree: Path) -> None:
    script = outside_the_tree / "share/fish/vendor_completions.d/tcptool.fish"
    script.parent.mkdir(parents=True)
    script.write_text("# installed\n")
    assert run("completion", "fish").stdout == "# installed\n"


@pytest.mark.usefixtures("outside_the_tree")
def test_completion_says_when_there_is_no_script() -> None:
    result = run("completion", "bash")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "was not installed" in result.stderr


def test_completion_of_an_unknown_shell_is_a_usage_error() -> None:
    assert run("completion", "tcsh").exit_code == ExitCode.USAGE


def test_without_a_name_the_schemas_are_listed() -> None:
    names = run("schema").stdout.split()
    assert names == sorted(names)
    assert {"list", "list-groups", "inspect", "inspect-watch", "explain", "error"} <= set(names)


@pytest.mark.parametrize("name", ["list", "inspect", "error"])
def test_a_schema_is_printed(name: str) -> None:
    assert json.loads(run("schema", name).stdout)["title"] == f"tcptool.{name}/1"


def test_an_unknown_schema_is_a_usage_error() -> None:
    result = run("schema", "lst")
    assert result.exit_code == ExitCode.USAGE
    assert "did you mean list" in result.stderr
