"""`tcptool verify` on a fake kernel: what agrees, what does not, what is not demanded."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tcptool.cli.session import Session
from tcptool.errors import ExitCode, NotPermitted
from tests.cli.scene import Outcome, integer
from tests.cli.test_apply import Scene, rows
from tests.live.test_schema import strict
from tests.support.golden import Golden

ROOT = Path(__file__).resolve().parents[2]


class Checked(Scene):
    """The same scene, on which nothing may be set."""

    def run(self, *words: object, command: str = "verify") -> Outcome:
        outcome = super().run(*words, command=command)
        assert command != "verify" or self.writes == []
        return outcome


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Checked(tmp_path)


def words_of(outcome: Outcome) -> list[str]:
    return [row[5] for row in rows(outcome)]


def test_what_agrees(scene: Checked) -> None:
    outcome = scene.run("42:9", "nodelay=1", "keepidle=2h", "SO_BUF_LOCK=send")
    assert (outcome.status, outcome.err) == (0, "")
    assert rows(outcome) == [
        ["42:9", "TCP_NODELAY", "-", "yes", "yes", "matches", "-"],
        ["42:9", "TCP_KEEPIDLE", "-", "7200", "7200", "matches", "-"],
        ["42:9", "SO_BUF_LOCK", "-", "send", "send", "matches", "-"],
    ]
    assert not scene.state.exists()


def test_what_does_not_agree_is_status_1(scene: Checked) -> None:
    outcome = scene.run("42:9", "nodelay=0", "keepidle=60")
    assert outcome.status == ExitCode.ANSWER_IS_NO
    assert words_of(outcome) == ["differs", "differs"]
    outcome = scene.run("42:9", "nodelay=1", "keepidle=60")
    assert outcome.status == ExitCode.ANSWER_IS_NO
    assert words_of(outcome) == ["matches", "differs"]


@pytest.mark.parametrize(
    ("word", "outcome_word"),
    [
        ("sndbuf=208K", "matches"),  # doubled
        ("sndbuf=1M", "matches"),  # and cut by net.core.wmem_max
        ("sndbuf=100K", "differs"),
        ("TCP_QUICKACK=1", "matches"),
        ("TCP_QUICKACK=0", "not-checkable"),  # it fades
        ("SO_REUSEADDR=1", "not-checkable"),  # of no use on a connection
        ("SO_BUSY_POLL_BUDGET=8", "not-checkable"),  # it cannot be read
        ("notsent-lowat=5", "unsupported"),  # the fake kernel does not have it
        ("IPV6_TCLASS=0", "unsupported"),  # on an IPv4 socket
        ("backlog=511", "not-checkable"),  # not a listener
    ],
)
def test_nothing_is_demanded_that_cannot_be(scene: Checked, word: str, outcome_word: str) -> None:
    outcome = scene.run("42:9", word)
    assert words_of(outcome) == [outcome_word]
    assert outcome.status == (1 if outcome_word == "differs" else 0)


def test_what_apply_set_agrees(scene: Checked) -> None:
    wanted = ("sndbuf=300K", "rcvbuf=1", "nodelay=0", "keepidle=60s", "tos=ef", "keepalive=1")
    scene.run("42:9", *wanted, command="apply")
    scene.connection.writes.clear()
    outcome = scene.run("42:9", *wanted)
    assert (outcome.status, set(words_of(outcome))) == (0, {"matches"})


def test_an_option_that_cannot_be_read_here(scene: Checked) -> None:
    scene.connection.options[6, 1] = errno.EPERM
    outcome = scene.run("42:9", "nodelay=1")
    assert (outcome.status, words_of(outcome)) == (0, ["unsupported"])


def test_json_is_as_its_schema_says(scene: Checked) -> None:
    outcome = scene.run("42:9", "nodelay=0", "linger=on:5s", "--json")
    assert (outcome.status, outcome.err) == (ExitCode.ANSWER_IS_NO, "")
    made = json.loads(outcome.out)
    schema = json.loads((ROOT / "tcptool/schemas/verify.json").read_text())
    Draft202012Validator(strict(schema)).validate(made)
    data = made["data"]
    assert (made["schema"], data["action"]) == ("tcptool.verify/1", "verify")
    assert (data["agrees"], data["undo_id"], data["dry_run"]) == (False, None, False)
    (sock,) = data["sockets"]
    change = sock["changes"][0]
    keys = ("before", "requested", "effective", "outcome")
    assert [change[key] for key in keys] == [None, False, True, "differs"]


def test_text(scene: Checked, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (42, "--profile", "rpc", "sndbuf=1M", "TCP_QUICKACK=0", "SO_REUSEADDR=1")
    outcome = scene.run(*words)
    golden("verify/plain.txt", outcome.out + "--- stderr\n" + outcome.err)
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    golden("verify/people.txt", scene.run(*words).out)


def test_a_profile_and_a_value_that_replaces_one_of_its(scene: Checked) -> None:
    scene.connection.options |= {
        (6, 1): integer(1), (1, 9): integer(1), (6, 4): integer(30), (6, 5): integer(10),
        (6, 6): integer(3), (6, 18): integer(60_000), (6, 25): integer(131_072),
    }  # fmt: skip
    assert scene.run("42:9", "--profile", "rpc").status == 0
    assert scene.run("42:9", "--profile", "rpc", "keepidle=31").status == 1


def test_one_socket_that_differs_is_enough(scene: Checked) -> None:
    outcome = scene.run(42, "nodelay=1")
    assert outcome.status == ExitCode.ANSWER_IS_NO
    assert {row[0]: row[5] for row in rows(outcome)} == {"42:9": "matches", "42:11": "differs"}
    assert "it listens; --listeners takes it too" in outcome.err
    assert len(rows(scene.run(42, "nodelay=1", "--listeners"))) == 3


def test_a_socket_that_goes_meanwhile_is_counted(scene: Checked) -> None:
    del scene.kernel.descriptors[42, 11]
    outcome = scene.run(42, "nodelay=1")
    assert (outcome.status, words_of(outcome)) == (0, ["matches"])
    assert "1 socket could not be reached any more and left out" in outcome.err


def test_a_listener(scene: Checked) -> None:
    assert scene.run("42:6", "backlog=511", "nodelay=1").status == 0
    outcome = scene.run("42:6", "backlog=128")
    assert (outcome.status, words_of(outcome)) == (1, ["differs"])


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["42:9"], ExitCode.USAGE, "a TARGET and NAME=VALUE or --profile are needed"),
        (["nodelay=1"], ExitCode.USAGE, "a TARGET and NAME=VALUE or --profile are needed"),
        (["--profile", "rpc"], ExitCode.USAGE, "rgument"),
        (["42:9", "nodelay=1", "nodelay=0"], ExitCode.USAGE, "TCP_NODELAY is given 2 times"),
        (["42:9", "nodelaj=1"], ExitCode.USAGE, "did you mean"),
        (["42:9", "--profile", "nonsense"], ExitCode.NOT_FOUND, "nonsense"),
        (["42:77", "nodelay=1"], ExitCode.NOT_FOUND, "no such descriptor"),
        (["sport = :1", "nodelay=1"], ExitCode.NOT_FOUND, "no TCP socket matches"),
        (["state time-wait", "nodelay=1"], ExitCode.NOT_FOUND, "it has no options"),
    ],
)
def test_refusals(scene: Checked, words: list[str], status: int, said: str) -> None:
    scene.untouched(scene.run(*words), status, said)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EPERM, ExitCode.NOT_PERMITTED),
        (errno.ENOSYS, ExitCode.UNSUPPORTED),
        (errno.ESRCH, ExitCode.NOT_FOUND),
    ],
)
def test_a_process_that_lends_nothing(scene: Checked, number: int, status: int) -> None:
    scene.kernel.refusals[42] = number
    scene.untouched(scene.run("42:9", "nodelay=1"), status, "process 42")


def test_an_error_in_json_is_one_line(scene: Checked) -> None:
    outcome = scene.run("42:77", "nodelay=1", "--json")
    error: Any = json.loads(outcome.err)["error"]
    assert (outcome.out, error["exit_code"]) == ("", 3)


def test_a_socket_that_may_not_be_looked_into_is_no_yes(scene: Checked) -> None:
    barred = scene.kernel.descriptors[42, 11]

    def refuse(*_: object) -> bytes:
        raise NotPermitted("borrowing descriptor 11 of process 42", "Operation not permitted")

    # The one instance refuses, and takes whatever it is asked with.
    barred.getsockopt = refuse  # type: ignore[method-assign, assignment]
    outcome = scene.run(42, "nodelay=1")
    assert outcome.status == ExitCode.ANSWER_IS_NO
    assert "not shown: borrowing descriptor 11" in outcome.err
