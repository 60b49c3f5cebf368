"""A group of commands for tests/cli/test_groups.py."""

from __future__ import annotations

from tcptool.cli.app import Spec

MODULE = "tests.cli.sample_group.commands"

COMMANDS = {
    "red": Spec("Paint it red.", "Colours", MODULE, "paint_command", kind="COLOUR"),
    "blue": Spec("Paint it blue.", "Colours", MODULE, "paint_command", kind="COLOUR"),
    "fail": Spec("Fail as told.", "Failures", MODULE, "fail_command"),
}

EPILOG = """Examples:

  tcptool sample red --coats 2
"""
