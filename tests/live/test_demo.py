"""`python3 dev.py demo`: runs to its end, shows every command, leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.children import ROOT
from tests.support.waiting import wait_until

DEMO = [sys.executable, "-m", "tools.demo"]


def demo_children() -> set[str]:
    """Processes that call themselves demo-something."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = file.read_text().strip()
        except OSError:
            continue  # it has ended
        if name.startswith("demo-"):
            found.add(file.parent.name)
    return found


def test_demo_shows_every_command_and_cleans_up() -> None:
    before = demo_children()
    done = subprocess.run(DEMO, capture_output=True, check=False, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^# .*\n\$ (tcptool \w+)", done.stdout, re.MULTILINE)
    assert commands == ["tcptool list"] * 2 + ["tcptool inspect"] * 3 + ["tcptool explain"]
    for name in ("demo-bulk", "demo-request", "demo-idle", "demo-server"):
        assert name in done.stdout
    assert re.search(r"so_max_pacing_rate_bytes_per_s +20000000  # changed", done.stdout)
    assert "# count-reached after" in done.stdout
    assert '"limited_by"' in done.stdout
    assert demo_children() <= before


def test_interrupted_demo_leaves_no_children() -> None:
    before = demo_children()
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        while b"--watch" not in demo.stdout.readline():
            pass
        os.killpg(demo.pid, signal.SIGINT)  # what a terminal does
        demo.stdout.read()
        assert demo.wait(timeout=20) == 130
        assert b"Traceback" not in demo.stderr.read()
    wait_until(lambda: demo_children() <= before)
