"""What actions ask of the host: where and when a report is made, and numbers of its sysctls."""

from __future__ import annotations

import re
import time
from typing import Final

from tcptool.linux.kernel import Kernel
from tcptool.model.report import Host


def host_facts(kernel: Kernel) -> Host:
    """Name and kernel of this host, and the time in UTC to the millisecond."""
    return Host(kernel.hostname(), kernel.release(), iso_time(kernel.wall_clock()))


def iso_time(time_s: float) -> str:
    """Seconds since the epoch as UTC, ISO 8601 with milliseconds."""
    seconds, ms = divmod(round(time_s * 1000), 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{ms:03d}Z"


_NUMBER: Final = re.compile(r"(?P<name>[^\[]+)(?:\[(?P<place>\d)\])?")


def sysctl_number(kernel: Kernel, name: str) -> int | None:
    """``net.core.wmem_max``, or ``net.ipv4.tcp_rmem[2]`` for one number of several.

    None where it cannot be read.
    """
    match = _NUMBER.fullmatch(name)
    if match is None:
        return None
    try:
        return int(kernel.sysctl(match["name"]).split()[int(match["place"] or 0)])
    except (OSError, ValueError, IndexError):
        return None
