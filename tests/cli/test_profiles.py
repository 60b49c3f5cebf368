"""`tcptool profiles`: the list, one profile, files of the user, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tcptool.actions.complete import profile_candidates
from tcptool.actions.profiles import load_profile
from tcptool.catalog.profiles import BUILT_IN
from tcptool.cli.session import Session
from tests.cli.scene import Outcome, run
from tests.live.test_schema import strict
from tests.support.fake_kernel import FakeKernel
from tests.support.golden import Golden

ROOT = Path(__file__).resolve().parents[2]
OWN = """name = "orders"
summary = "Calls to the order service"
extends = "rpc"

[options]
TCP_USER_TIMEOUT = "20s"

[reasons]
TCP_USER_TIMEOUT = "A call has 20 s"
"""
BAD = 'name = "broken"\nsummary = "x"\n[options]\nTCP_NODELAI = true\n'


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "kernel")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of profiles, which is empty; the working directory is beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place = tmp_path / "config/tcptool/profiles"
    place.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)


def validated(outcome: Outcome, name: str) -> Any:
    document = outcome.document
    assert document["schema"] == f"tcptool.{name}/1"
    schema = json.loads((ROOT / f"tcptool/schemas/{name}.json").read_text())
    Draft202012Validator(strict(schema)).validate(document)
    return document["data"]


def test_list(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "profiles")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome == run(kernel, "profiles", "list")
    golden("profiles/list.txt", outcome.out)


@pytest.mark.usefixtures("on_terminal")
def test_list_for_people(kernel: FakeKernel, golden: Golden, folder: Path) -> None:
    golden("profiles/list-terminal.txt", run(kernel, "profiles", env={"COLUMNS": "60"}).out)
    (folder / "orders.toml").write_text(OWN)
    (folder / "broken.toml").write_text(BAD)
    lines = run(kernel, "profiles", env={"COLUMNS": "60"}).out.splitlines()
    assert "broken     cannot be used: line 4, options.TCP_NODELAI:" in lines
    at = lines.index("orders     Calls to the order service")
    assert lines[at - 1].strip() == str(folder / "broken.toml")  # whole, for copying
    assert lines[at + 1].strip() == str(folder / "orders.toml")


def test_the_users_own_are_listed_and_a_bad_one_is_no_obstacle(
    kernel: FakeKernel, folder: Path
) -> None:
    (folder / "orders.toml").write_text(OWN)
    (folder / "broken.toml").write_text(BAD)
    (folder / "other.toml").write_text(OWN)
    outcome = run(kernel, "profiles")
    assert (outcome.status, outcome.err) == (0, "")
    broken, orders, other = (line.split(maxsplit=3) for line in outcome.out.splitlines()[9:])
    assert broken[:3] == ["broken", "bad", str(folder / "broken.toml")]
    assert "there is no such option; did you mean TCP_NODELAY" in broken[3]
    assert orders == ["orders", "ok", str(folder / "orders.toml"), "Calls to the order service"]
    assert "'orders' belongs into a file called orders.toml" in other[3]
    rows = validated(run(kernel, "profiles", "--json"), "profiles")["profiles"]
    assert [row["name"] for row in rows[:8]] == [profile.name for profile in BUILT_IN]
    assert (rows[8]["error"] is None, rows[9]["error"]) == (False, None)
    assert rows[9]["options"][0] == "TCP_NODELAY"


def test_a_folder_that_cannot_be_read_is_named(kernel: FakeKernel, folder: Path) -> None:
    folder.rmdir()
    folder.touch()
    outcome = run(kernel, "profiles")
    assert (outcome.status, outcome.out.count("\n")) == (0, 9)
    assert "your own profiles" in outcome.err
    assert "ENOTDIR" in outcome.err
    assert run(kernel, "profiles", "-q").err == ""
    (missing,) = run(kernel, "profiles", "--json").document["missing"]
    assert missing["what"] == "your own profiles"


def test_show(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "profiles", "show", "guide")
    assert (outcome.status, outcome.err) == (0, "")
    golden("profiles/guide.txt", outcome.out)


@pytest.mark.usefixtures("on_terminal")
def test_show_for_people(kernel: FakeKernel, golden: Golden) -> None:
    outcome = run(kernel, "profiles", "show", "rpc", env={"COLUMNS": "90"})
    golden("profiles/rpc-terminal.txt", outcome.out)


@pytest.mark.parametrize("profile", BUILT_IN, ids=lambda profile: profile.name)
@pytest.mark.usefixtures("on_terminal")
def test_every_profile_fits_every_terminal(profile: Any, kernel: FakeKernel) -> None:
    for columns in (20, 40, 80, 300):
        words = ["profiles", "show", profile.name]
        out = run(kernel, *words, env={"COLUMNS": str(columns)}).out
        for line in out.splitlines():
            # Command lines are for copying, names of sysctls have nowhere to break.
            assert len(line) <= max(columns, 56) or line.startswith("  net."), line
            assert len(line) <= 110
        colored = run(kernel, *words, "--color=always", env={"COLUMNS": str(columns)}).out
        assert colored.replace("\x1b[1m", "").replace("\x1b[0m", "") == out


@pytest.mark.parametrize("profile", BUILT_IN, ids=lambda profile: profile.name)
def test_a_pipe_gets_one_record_a_line(profile: Any, kernel: FakeKernel) -> None:
    kinds = [
        line.split()[0] for line in run(kernel, "profiles", "show", profile.name).out.splitlines()
    ]
    assert kinds == [
        "kind", "profile", "purpose",
        *["option"] * len(profile.values),
        *["problem"] * len(profile.flags),
        *["leave-alone"] * len(profile.leave_alone),
        *["host"] * len(profile.host_advice),
        *["program"] * len(profile.program_advice),
        *["use"] * 4,
    ]  # fmt: skip
    data = validated(run(kernel, "profiles", "show", profile.name, "--json"), "profiles-show")
    assert [(v["option"], v["value"]) for v in data["values"]] == [
        (v.option, v.value) for v in profile.values
    ]


def test_a_file_is_shown_by_its_path_and_by_its_name(kernel: FakeKernel, folder: Path) -> None:
    Path("orders.toml").write_text(OWN)
    by_path = run(kernel, "profiles", "show", "./orders.toml")
    assert by_path.status == 0
    assert "TCP_USER_TIMEOUT=20s" in by_path.out
    assert "A call has 20 s [orders.toml]" in by_path.out
    assert "tcptool apply TARGET --profile ./orders.toml --dry-run" in by_path.out
    (folder / "orders.toml").write_text(OWN)
    by_name = validated(run(kernel, "profiles", "show", "orders", "--json"), "profiles-show")
    assert by_name["values"][5]["source"] == str(folder / "orders.toml")
    assert load_profile("orders.toml").profile.name == "orders"


def test_a_bare_profile_without_reasons(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a b.toml").write_text('name = "bare"\nsummary = "x"\n[options]\nnodelay = true\n')
    out = run(kernel, "profiles", "show", "a b.toml").out
    assert [line.split()[0] for line in out.splitlines()] == (
        ["kind", "profile", "option", *["use"] * 4]
    )
    assert "- [a b.toml]" in out
    assert "--profile 'a b.toml'" in out
    monkeypatch.setattr(Session, "on_terminal", lambda _: True)
    assert "Problems" not in run(kernel, "profiles", "show", "a b.toml").out


def test_nothing_but_ascii_where_the_encoding_has_no_more(
    kernel: FakeKernel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "caf.toml").write_text(OWN.replace("orders", "caf").replace("Calls", "Caf\u00e9"))
    monkeypatch.setattr("tcptool.cli.session.Session.look", ascii_look)
    for words in (["profiles"], ["profiles", "show", "caf"]):
        out = run(kernel, *words).out
        assert out.isascii()
        assert r"Caf\xe9" in out


def ascii_look(_: Session) -> Any:
    from tcptool.views.look import Look

    return Look(unicode=False)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["show", "rcp"], 3, "did you mean rpc?"),
        (["show", "nothing"], 3, "There are guide, rpc, "),
        (["show", "./gone.toml"], 3, "ENOENT"),
        (["show", "."], 3, "looking for profile '.'"),
        (["show", "./"], 6, "EISDIR"),
        (["show", "bad.toml"], 2, "line 4, options.TCP_NODELAI: there is no such option"),
        (["show"], 2, "`list` nor `show`"),
        (["show", "rpc", "push"], 2, "`list` nor `show`"),
        (["rpc"], 2, "`tcptool profiles show rpc` may be meant."),
    ],
)
def test_what_cannot_be_shown(words: list[str], status: int, said: str, kernel: FakeKernel) -> None:
    Path("bad.toml").write_text(BAD)
    outcome = run(kernel, "profiles", *words)
    assert (outcome.status, outcome.out) == (status, "")
    assert said in outcome.err
    error = json.loads(run(kernel, "profiles", *words, "--json").err)["error"]
    assert error["exit_code"] == status
    assert error["hint"] or status in (3, 6)


def test_a_profile_comes_with_its_assignments() -> None:
    for profile in BUILT_IN:
        loaded = load_profile(profile.name)
        assert loaded.profile is profile
        assert [one.text for one in loaded.assignments] == [
            f"{value.option}={value.value}" for value in profile.values
        ]


def test_profiles_are_completed(kernel: FakeKernel, folder: Path) -> None:
    (folder / "rows.toml").touch()
    (folder / "$(rm).toml").touch()
    found = dict(profile_candidates(kernel, ""))
    assert list(found) == [*(profile.name for profile in BUILT_IN), "rows"]
    assert list(profile_candidates(kernel, "r")) == [
        ("rpc", "Requests and answers that must not wait"),
        ("rows", "your own profile"),
    ]
