"""`tcptool undo` on a fake kernel: what is said, what is set, and the status."""

from __future__ import annotations

import errno
import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tcptool.analysis.undo import disturbed_by, known_option
from tcptool.cli.session import Session
from tcptool.errors import ExitCode
from tcptool.linux.journal import open_journal
from tcptool.linux.visit import read_option, write_option
from tcptool.model.journal import (
    DoneChange,
    JournalEntry,
    PlannedChange,
    SocketEntry,
    SocketIdentity,
)
from tests.cli.scene import CLIENT, WEB, Outcome, integer, run, web_server
from tests.support.fake_kernel import FakeDescriptor, descriptor_for, diag_message
from tools import schemas

NETNS = struct.pack("=Q", 1)
CONNECTION = SocketIdentity(
    netns_cookie="1", cookie="1001", inode=701, pid=42, start_ticks=1000, fd=9,
    label="nginx 42:9 192.0.2.10:443 - 198.51.100.7:51844",
)  # fmt: skip
LISTENER = replace(CONNECTION, cookie="1000", inode=700, fd=6, label="nginx 42:6 0.0.0.0:443 - *")


class Scene:
    """The web server, its journal, and a way to change its sockets as `apply` does."""

    def __init__(self, root: Path) -> None:
        self.kernel = web_server(root / "kernel")
        self.kernel.tree.write("sys/kernel/random/boot_id", "b00t\n")
        self.kernel.fresh_options[1, 71] = NETNS
        for descriptor in self.kernel.descriptors.values():
            descriptor.options |= {
                (1, 71): NETNS, (1, 8): integer(131_072), (1, 12): integer(0), (0, 1): integer(0),
                (6, 10): integer(65_536),
            }  # fmt: skip
        self.connection = self.kernel.descriptors[42, 9]
        self.listener = self.kernel.descriptors[42, 6]
        self.path = root / "state" / "tcptool" / "journal"

    def run(self, *words: object) -> Outcome:
        return run(self.kernel, *words, env={"XDG_STATE_HOME": str(self.path.parent.parent)})

    def change(
        self, *changes: str, identity: SocketIdentity = CONNECTION, done: bool = True
    ) -> str:
        """Set ``NAME=NUMBER`` of a socket, and note it; the id."""
        descriptor = self.listener if identity is LISTENER else self.connection
        wanted = dict(change.split("=") for change in changes)
        options = {name: known_option(name) for name in wanted}
        planned, made = [], []
        for name, option in options.items():
            assert option is not None
            planned.append(
                PlannedChange(
                    option=name,
                    before=raw(descriptor, name),
                    requested=integer(int(wanted[name])),
                    kept=kept(descriptor, name),
                )
            )
        with open_journal(self.kernel, str(self.path)) as journal:
            entry = journal.new_id(self.kernel.wall_clock())
            socket = SocketEntry(identity=identity, planned=tuple(planned))
            command = f"apply 42:{identity.fd} {' '.join(changes)}"
            journal.begin(
                JournalEntry(
                    id=entry, time_s=self.kernel.wall_clock(), command=command, sockets=(socket,)
                )
            )
            for name, option in options.items():
                assert option is not None
                number = write_option(descriptor, option, integer(int(wanted[name])))
                after = raw(descriptor, name)
                made.append(
                    DoneChange(option=name, after=after, errno=number, kept=kept(descriptor, name))
                )
            if done:
                journal.done(entry, identity.cookie, made)
        descriptor.writes.clear()
        return entry


def raw(descriptor: FakeDescriptor, name: str) -> bytes | None:
    option = known_option(name)
    assert option is not None
    value = read_option(descriptor, option)
    return value if isinstance(value, bytes) else None


def kept(descriptor: FakeDescriptor, name: str) -> dict[str, bytes]:
    option = known_option(name)
    assert option is not None
    values = {one.name: raw(descriptor, one.name) for one in disturbed_by(option)}
    return {one: value for one, value in values.items() if value is not None}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def rows(outcome: Outcome) -> list[list[str]]:
    return [line.split(None, 6) for line in outcome.out.splitlines()[1:]]


def test_the_last_change_is_put_back(scene: Scene) -> None:
    entry = scene.change("TCP_NODELAY=0", "TCP_KEEPIDLE=60")
    outcome = scene.run("undo", "--last")
    assert (outcome.status, outcome.err) == (0, "")
    assert [row[:6] for row in rows(outcome)] == [
        ["42:9", "TCP_KEEPIDLE", "60", "7200", "7200", "restored"],
        ["42:9", "TCP_NODELAY", "no", "yes", "yes", "restored"],
    ]
    assert scene.connection.options[6, 1] == integer(1)
    again = scene.run("undo", "--last")
    assert (again.status, again.out) == (ExitCode.NOT_FOUND, "")
    assert "nothing to undo" in again.err
    by_id = scene.run("undo", entry)
    assert (by_id.status, f"{entry} is undone already" in by_id.err) == (0, True)


def test_a_dry_run_says_what_would_be_done(scene: Scene) -> None:
    entry = scene.change("TCP_NODELAY=0")
    journal = scene.path.read_bytes()
    data = scene.run("undo", "--last", "--dry-run", "--json").document["data"]
    assert (data["dry_run"], data["undo_id"], data["agrees"]) == (True, entry, True)
    (change,) = data["sockets"][0]["changes"]
    assert (change["before"], change["requested"], change["effective"]) == (False, True, None)
    assert change["outcome"] == "planned"
    assert scene.connection.writes == []
    assert scene.path.read_bytes() == journal


def test_buffers_with_all_that_goes_with_them(scene: Scene) -> None:
    before = dict(scene.connection.options)
    scene.change("SO_RCVBUF=50000", "SO_SNDBUF=50000")
    assert scene.connection.options[1, 72] == integer(3)
    outcome = scene.run("undo", "--last")
    assert outcome.status == 0, outcome
    assert scene.connection.options == before


def test_a_buffer_beyond_the_limit(scene: Scene) -> None:
    scene.connection.options[1, 7] = integer(1_000_000)
    scene.change("SO_SNDBUF=50000")

    def no_force(_level: int, number: int, _value: bytes) -> None:
        if number in (32, 33):
            raise OSError(errno.EPERM, "no")

    scene.connection.on_set = no_force
    outcome = scene.run("undo", "--last")
    assert outcome.status == ExitCode.FAILED
    (row,) = rows(outcome)
    assert row[:6] == ["42:9", "SO_SNDBUF", "100000", "1000000", "425984", "inexact"]
    assert "net.core.wmem_max" in row[6]
    scene.connection.on_set = None
    outcome = scene.run("undo", "--last")
    assert (outcome.status, scene.connection.options[1, 7]) == (0, integer(1_000_000)), outcome


def test_a_backlog(scene: Scene) -> None:
    scene.change("backlog=7", identity=LISTENER)
    outcome = scene.run("undo", "--last")
    assert outcome.status == 0, outcome
    assert [row[1:6] for row in rows(outcome)] == [["backlog", "7", "511", "511", "restored"]]


def test_what_the_owner_changed_is_left(scene: Scene) -> None:
    entry = scene.change("TCP_KEEPIDLE=60", "TCP_NODELAY=0")
    scene.connection.options[6, 4] = integer(33)
    outcome = scene.run("undo", entry)
    assert outcome.status == ExitCode.FAILED
    assert {row[1]: row[5] for row in rows(outcome)} == {
        "TCP_NODELAY": "restored",
        "TCP_KEEPIDLE": "refused",
    }
    assert scene.connection.options[6, 4] == integer(33)
    listed = scene.run("undo", "--list", "--json").document["data"]["entries"]
    assert [one["state"] for one in listed] == ["changed"]
    assert "owner" in listed[0]["sockets"][0]["note"]


def test_what_the_kernel_refuses_now(scene: Scene) -> None:
    scene.change("TCP_KEEPIDLE=60")

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "no")

    scene.connection.on_set = refuse
    outcome = scene.run("undo", "--last")
    assert (outcome.status, rows(outcome)[0][5]) == (ExitCode.FAILED, "failed")
    scene.connection.on_set = None
    assert scene.run("undo", "--last").status == 0


def test_newest_first_for_a_target(scene: Scene) -> None:
    first, second = scene.change("TCP_KEEPIDLE=60"), scene.change("TCP_KEEPIDLE=70")
    assert first < second
    refused = scene.run("undo", first)
    assert refused.status == ExitCode.FAILED
    assert f"{second} changed it later: undo that first" in refused.out
    outcome = scene.run("undo", "--target", "42:9", "--dry-run")
    assert [row[2:6] for row in rows(outcome)] == [
        ["70", "60", "-", "planned"],
        ["70", "7200", "-", "planned"],
    ]
    outcome = scene.run("undo", "--target", "sk:1001")
    assert [row[2:6] for row in rows(outcome)] == [
        ["70", "60", "60", "restored"],
        ["60", "7200", "7200", "restored"],
    ]
    none = scene.run("undo", "--target", "42:9")
    assert none.status == ExitCode.NOT_FOUND
    assert "descriptor 9 of process 42" in none.err


def test_a_change_that_was_interrupted(scene: Scene) -> None:
    scene.change("TCP_KEEPIDLE=60", done=False)
    assert scene.run("undo", "--list").out.split()[9] == "open"
    outcome = scene.run("undo", "--last")
    assert (outcome.status, scene.connection.options[6, 4]) == (0, integer(7200)), outcome


def test_a_socket_that_is_gone(scene: Scene) -> None:
    older = scene.change("backlog=7", identity=LISTENER)
    scene.change("TCP_NODELAY=0")
    scene.kernel.tree.remove(42)
    outcome = scene.run("undo", "--last", "--dry-run")
    assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, "")
    assert "the socket is gone, and what was changed with it" in outcome.err
    assert scene.run("undo", "--last").status == ExitCode.NOT_FOUND
    # It is remembered: the next one is the listener, which another process holds too.
    listed = scene.run("undo", "--list", "--json").document["data"]["entries"]
    assert [one["state"] for one in listed] == ["gone", "open"]
    outcome = scene.run("undo", "--last", "--json")
    (sock,) = outcome.document["data"]["sockets"]
    assert [holder["pid"] for holder in sock["holders"]] == [43]
    assert sock["advice"][0] == f"undoes {older}: apply 42:6 backlog=7"
    assert "process 42, which held the socket then, does not hold it any more" in sock["advice"]


@pytest.mark.parametrize("what", ["inode", "cookie", "netns"])
def test_another_socket_under_the_same_descriptor(what: str, scene: Scene) -> None:
    scene.change("TCP_NODELAY=0")
    options: dict[tuple[int, int], bytes | int] = {(1, 71): NETNS, (6, 1): integer(0)}
    if what == "netns":
        options[1, 71] = struct.pack("=Q", 2)
    other = descriptor_for(
        diag_message(
            local=WEB, peer=CLIENT, inode=777 if what == "inode" else 701,
            cookie=9 if what == "cookie" else 0x1001, tcp_info={},
        ),
        options,
    )  # fmt: skip
    scene.kernel.descriptors[42, 9] = other
    assert scene.run("undo", "--last").status == ExitCode.NOT_FOUND
    assert other.writes == []


def test_some_of_several_are_gone(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0")
    gone = replace(CONNECTION, inode=999, cookie="9", label="gone")
    with open_journal(scene.kernel, str(scene.path)) as journal:
        (entry,) = journal.entries()
        journal.begin(replace(entry, id="zz", sockets=(entry.sockets[0], entry.sockets[0])))
        both = tuple(replace(entry.sockets[0], identity=one) for one in (CONNECTION, gone))
        journal.begin(replace(entry, id="zzz", sockets=both))
    outcome = scene.run("undo", "zzz")
    assert (outcome.status, len(rows(outcome))) == (0, 1)
    assert "1 socket is gone, and what was changed with it" in outcome.err
    assert len(scene.run("undo", "--list").out.splitlines()) == 1 + 4


def test_a_socket_that_closes_while_it_is_put_back(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0", "TCP_KEEPIDLE=60")
    scene.kernel.ticks = 0.0

    def close(*_: object) -> None:
        scene.kernel.ticks += 1  # the slice is over: it must borrow again
        scene.kernel.descriptors.pop((42, 9), None)

    scene.connection.on_set = close
    outcome = scene.run("undo", "--last")
    assert (outcome.status, outcome.out) == (ExitCode.NOT_FOUND, ""), outcome


def test_after_a_restart_nothing_is_the_same(scene: Scene) -> None:
    """Cookies, inodes and namespaces count from the beginning again, and so may meet."""
    entry = scene.change("TCP_NODELAY=0")
    scene.kernel.tree.write("sys/kernel/random/boot_id", "another\n")
    assert scene.run("undo", "--last").status == ExitCode.NOT_FOUND
    outcome = scene.run("undo", entry)
    assert outcome.status == ExitCode.NOT_FOUND
    assert "before this one was started anew" in outcome.err
    assert scene.run("undo", "--list", "--json").document["data"]["entries"][0]["state"] == "gone"
    assert scene.connection.writes == []


def test_without_the_right_to_look(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0")
    scene.kernel.refusals[42] = errno.EPERM
    outcome = scene.run("undo", "--last")
    assert (outcome.status, outcome.out) == (ExitCode.NOT_PERMITTED, "")
    assert "EPERM" in outcome.err
    listed = scene.run("undo", "--list")
    assert listed.out.split()[9] == "unreachable"
    assert "not shown: borrowing descriptor 9 of process 42" in listed.err


def refuse_looking(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, *words: Any, **more: Any) -> int:
        if str(path).endswith("/42/fd"):
            raise PermissionError(errno.EACCES, "no")
        return real(path, *words, **more)

    monkeypatch.setattr(os, "open", refuse)


def test_a_socket_that_nobody_visible_holds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.change("TCP_NODELAY=0")
    refuse_looking(scene, monkeypatch)
    outcome = scene.run("undo", "--last")
    assert outcome.status == ExitCode.NOT_PERMITTED
    assert "no known process holds it, and 1 process cannot be looked into" in outcome.err
    # Of another namespace nobody knows without looking.
    scene.kernel.fresh_options[1, 71] = struct.pack("=Q", 5)
    assert scene.run("undo", "--last").status == ExitCode.NOT_PERMITTED
    scene.kernel.fresh_options[1, 71] = NETNS
    scene.kernel.sockets.clear()
    assert scene.run("undo", "--last").status == ExitCode.NOT_FOUND


def test_ctrl_c_between_two_sockets(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    scene.connection.on_set = interrupt
    outcome = scene.run("undo", "--last")
    assert outcome.status == ExitCode.INTERRUPTED
    scene.connection.on_set = None
    assert scene.run("undo", "--last").status == 0


def test_an_option_of_a_newer_tcptool(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0")
    text = scene.path.read_text()
    scene.path.write_text(text.replace("TCP_NODELAY", "TCP_NEWER"))
    outcome = scene.run("undo", "--last", "--json")
    assert outcome.status == ExitCode.FAILED
    assert "TCP_NEWER was left alone" in outcome.out
    assert scene.run("undo", "--list").out.split()[9] == "changed"


def test_a_damaged_journal_is_read_as_far_as_it_goes(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0")
    with scene.path.open("ab") as file:
        file.write(b'{"event":"pl')
    outcome = scene.run("undo", "--last")
    assert (outcome.status, "1 line of the journal cannot be read" in outcome.err) == (0, True)
    with scene.path.open("ab") as file:
        file.write(b"\n{\n")
    assert "2 lines of the journal cannot be read" in scene.run("undo", "--list").err


def test_the_list(scene: Scene) -> None:
    assert scene.run("undo", "--list").out.split() == [
        "id", "time", "state", "socket", "cookie", "options", "command",
    ]  # fmt: skip
    entry = scene.change("TCP_NODELAY=0", "TCP_KEEPIDLE=60")
    line = scene.run("undo", "--list").out.splitlines()[1].split(None, 6)
    assert line == [
        entry, "2026-01-02T03:04:05.123Z", "open",
        r"nginx\x2042:9\x20192.0.2.10:443\x20-\x20198.51.100.7:51844", "sk:1001",
        "TCP_NODELAY,TCP_KEEPIDLE", "apply 42:9 TCP_NODELAY=0 TCP_KEEPIDLE=60",
    ]  # fmt: skip
    scene.connection.options |= {(6, 1): integer(1), (6, 4): integer(7200)}
    assert scene.run("undo", "--list").out.split()[9] == "undone"  # by the owner, as it happens
    assert scene.run("undo", "--last").status == 0
    assert scene.run("undo", "--list").out.split()[9] == "undone"


@pytest.mark.parametrize(
    "words",
    [[], ["id", "--last"], ["--last", "--list"], ["--list", "--dry-run"], ["--target", ":"]],
)
def test_what_is_not_understood(words: list[str], scene: Scene) -> None:
    outcome = scene.run("undo", *words)
    assert (outcome.status, outcome.out) == (ExitCode.USAGE, "")
    assert not scene.path.parent.exists()


def test_an_id_that_nobody_knows(scene: Scene) -> None:
    outcome = scene.run("undo", "nonsense")
    assert outcome.status == ExitCode.NOT_FOUND
    assert "`tcptool undo --list`" in outcome.err


def test_hostile_names_do_not_reach_the_terminal(scene: Scene) -> None:
    scene.change("TCP_NODELAY=0", identity=replace(CONNECTION, label="\x1b[2J\nx"))
    for words in (["--list"], ["--last", "-n"], ["--last"]):
        assert "\x1b" not in scene.run("undo", *words).out


def on_terminal(scene: Scene, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What a person sees."""
    monkeypatch.setattr(Session, "on_terminal", lambda session: not session.json)
    return scene.run("undo", *words, "--color", "always").out


def test_for_people(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_terminal(scene, monkeypatch, "--list") == "Nothing was changed yet.\n"
    entry = scene.change("SO_SNDBUF=1000000", "TCP_KEEPIDLE=60", "TCP_NODELAY=0")
    scene.connection.options[6, 4] = integer(33)
    listed = on_terminal(scene, monkeypatch, "--list")
    assert f"{entry}  2026-01-02T03:04:05.123Z  open         apply 42:9 SO_SNDBUF=1000000" in listed
    assert "open         nginx 42:9 192.0.2.10:443 - 198.51.100.7:51844 (TCP_KEEPIDLE: " in listed
    planned = on_terminal(scene, monkeypatch, "--last", "-n")
    assert planned.endswith("A dry run: nothing was set.\n")
    shown = on_terminal(scene, monkeypatch, "--last").splitlines()
    assert shown[0] == (
        "\x1b[1m42:9 (nginx)  established  192.0.2.10:443 - 198.51.100.7:51844\x1b[0m"
    )
    assert (
        shown[1] == f"  undoes {entry}: apply 42:9 SO_SNDBUF=1000000 TCP_KEEPIDLE=60 TCP_NODELAY=0"
    )
    assert [line.split() for line in shown[2:5]] == [
        ["option", "before", "requested", "effective", "outcome"],
        ["TCP_NODELAY", "no", "yes", "yes", "restored"],
        ["TCP_KEEPIDLE", "33", "s", "2", "h", "33", "s", "refused"],
    ]
    assert shown[5] == "      the owner has changed it since"


def test_what_is_not_known_is_a_dash(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.connection.options[1, 70] = integer(8)
    scene.change("SO_BUSY_POLL_BUDGET=16")
    with open_journal(scene.kernel, str(scene.path)) as journal:
        (entry,) = journal.entries()
        (sock,) = entry.sockets
        planned = tuple(replace(change, before=None) for change in sock.planned)
        journal.begin(replace(entry, id="zz", sockets=(replace(sock, planned=planned),)))
    lines = on_terminal(scene, monkeypatch, "zz").splitlines()
    assert lines[3].split() == ["SO_BUSY_POLL_BUDGET", "-", "-", "-", "cannot"]


@pytest.mark.parametrize("words", [["--list"], ["--last", "--dry-run"], ["--last"]])
def test_the_documents_are_what_their_schemas_promise(words: list[str], scene: Scene) -> None:
    scene.change("TCP_NODELAY=0", "SO_SNDBUF=50000", "TCP_KEEPIDLE=60")
    document = scene.run("undo", *words, "--json").document
    name = document["schema"].removeprefix("tcptool.").removesuffix("/1")
    assert name == ("undo-list" if words == ["--list"] else "undo")
    Draft202012Validator(json.loads(schemas.files()[f"{name}.json"])).validate(document)
