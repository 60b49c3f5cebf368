"""The commands that set a sysctl and take it back, and how it survives a reboot.

One home for what `doctor` and `listeners` propose.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

_DROP_IN: Final = "/etc/sysctl.d/99-tcptool.conf"
"""After 99-sysctl.conf, which on Debian is /etc/sysctl.conf: the last file wins (sysctl.d(5))."""
_FOLDERS: Final = "/etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d"


def setting(values: Mapping[str, str], inside: str = "") -> str:
    """The command; ``inside`` are the words that enter another network namespace."""
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"sudo {inside}sysctl -w {words}"


def keeping(values: Mapping[str, str], *, elsewhere: bool) -> str:
    """How to keep it over a reboot."""
    if elsewhere:
        return "a network namespace forgets it when it ends: set it where the namespace is made"
    lines = ", ".join(f"{name} = {value}" for name, value in values.items())
    words = "|".join(name.rpartition(".")[2] for name in values)
    return f"{lines} in {_DROP_IN}; what sets it now: grep -rsE '{words}' {_FOLDERS}"
