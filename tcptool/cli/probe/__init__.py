"""The group `tcptool probe`, and the table of its commands; each is loaded when it is run.

All methods are one function, which learns from ``ctx.info_name`` which of them to measure.
"""

from __future__ import annotations

from typing import Final

from tcptool.catalog.methods import METHODS
from tcptool.cli.app import Spec

TRANSFER: Final = "Transfer"
JUDGE: Final = "Judge"
SAVED: Final = "Saved results"

COMMANDS: Final = {
    **{
        method.name: Spec(
            method.summary,
            TRANSFER,
            "tcptool.cli.probe.transfer",
            "transfer_command",
            kind="METHOD",
        )
        for method in METHODS
    },
    "compare": Spec(
        "Measure all ways of sending side by side, and rank them by rate and by CPU time.",
        JUDGE,
        "tcptool.cli.probe.compare",
        "compare_command",
    ),
    "latency": Spec(
        "Time requests and replies over one connection, and compare ways of sending them.",
        JUDGE,
        "tcptool.cli.probe.latency",
        "latency_command",
    ),
    "connect": Spec(
        "Measure how fast connections are made and closed, and what that leaves behind.",
        JUDGE,
        "tcptool.cli.probe.connect",
        "connect_command",
    ),
    "pool": Spec(
        "Measure what reusing connections saves, and which health check keeps dead ones back.",
        JUDGE,
        "tcptool.cli.probe.pool",
        "pool_command",
    ),
    "show": Spec(
        "Show a saved result again, as it was shown when it was measured.",
        SAVED,
        "tcptool.cli.probe.saved",
        "show_command",
    ),
    "diff": Spec(
        "Compare two saved results, figure by figure.",
        SAVED,
        "tcptool.cli.probe.saved",
        "diff_command",
    ),
}

EPILOG = """Examples:

  tcptool probe sendfile --size 100M

  tcptool probe compare

  tcptool probe latency
"""
