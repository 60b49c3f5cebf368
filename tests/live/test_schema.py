"""What the program really writes is what its schemas promise, and nothing more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.live.serving import serving
from tests.live.test_completion import talker
from tests.support.children import Child

ROOT = Path(__file__).resolve().parent.parent.parent


def strict(schema: Any) -> Any:
    """The schema with every record closed: a key that it does not name is a mistake of ours."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def tcptool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tcptool", *words],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip


def validate(text: str) -> Any:
    """Validate a document against the schema that its first key names."""
    document = json.loads(text)
    name, version = document["schema"].removeprefix("tcptool.").split("/")
    assert version == "1"
    schema = json.loads(tcptool("schema", name).stdout)
    Draft202012Validator(strict(schema)).validate(document)
    return document


@pytest.fixture
def child() -> Iterator[Child]:
    with talker() as running:
        yield running


@pytest.mark.parametrize("columns", ["", "all", "+cgroup,mark", "state,rtt,options,snd_ssthresh"])
def test_list(columns: str, child: Child) -> None:
    words = ["--columns", columns] if columns else []
    document = validate(tcptool("list", "--json", *words).stdout)
    assert document["data"]["count"] == len(document["data"]["sockets"]) >= 3


@pytest.mark.parametrize("by", ["process", "port", "peer", "state", "cgroup"])
def test_list_of_groups(by: str, child: Child) -> None:
    assert validate(tcptool("list", "--json", "--by", by).stdout)["data"]["groups"]


@pytest.mark.parametrize("options", ["", "--options"])
def test_listeners(options: str, child: Child) -> None:
    words = ["listeners", "--json", "--for", "10ms", *options.split()]
    assert validate(tcptool(*words).stdout)["data"]["listeners"]


def test_inspect(child: Child) -> None:
    for fd in child.ready["fds"]:
        document = validate(tcptool("inspect", f"{child.pid}:{fd}", "--json").stdout)
        assert document["data"]["holders"][0]["fd"] == fd


def test_inspect_watch(child: Child) -> None:
    target = f"{child.pid}:{child.ready['fds'][1]}"
    done = tcptool("inspect", target, "--json", "--watch", "-i", "10ms", "-c", "3")
    events = [validate(line)["data"]["event"] for line in done.stdout.splitlines()]
    assert events == ["sample", "sample", "sample", "end"]


@pytest.mark.parametrize("names", [(), ("rtt", "SO_SNDBUF", "close-wait")])
def test_explain(names: tuple[str, ...]) -> None:
    assert len(validate(tcptool("explain", "--json", *names).stdout)["data"]) >= len(names)


@pytest.mark.parametrize("names", [(), ("SO_SNDBUF", "linger"), ("tcp_",)])
def test_options(names: tuple[str, ...]) -> None:
    assert len(validate(tcptool("options", "--json", *names).stdout)["data"]) >= len(names)


def test_error() -> None:
    done = tcptool("inspect", "--json", "999999999:1")
    assert done.stdout == ""
    document = validate(done.stderr)
    assert document["error"]["exit_code"] == done.returncode


@pytest.mark.parametrize(
    "words",
    [
        ("send", "--size", "1M", "--slice", "128K", "--set", "TCP_NODELAY=1"),
        ("compare", "--size", "1M", "--slice", "128K"),
        ("compare", "--size", "1M", "--slice", "128K", "--unix"),
        ("latency", "--requests", "30", "--blocks", "6", "--matrix", "nodelay"),
        ("connect", "--connections", "120"),
        ("pool", "--requests", "120", "--concurrency", "2"),
    ],
)
def test_probe(words: tuple[str, ...], tmp_path: Path) -> None:
    saved = tmp_path / "result.json"
    document = validate(tcptool("probe", *words, "--json", "-o", str(saved)).stdout)
    assert validate(saved.read_text()) == document
    shown = validate(tcptool("probe", "diff", "--json", str(saved), str(saved)).stdout)
    assert shown["data"]["changes"]


def test_serve() -> None:
    with serving("--workers", 2) as served:
        validate(json.dumps(served.child.ready))
        served.get("/none")
        assert validate(served.get("/stats")[1].decode())["data"]["workers"]
        os.kill(served.workers[0], signal.SIGKILL)
        assert validate(served.child.readline())["data"]["event"] == "restart"
        served.child.process.send_signal(signal.SIGINT)
        assert validate(served.child.readline())["data"]["event"] == "end"
