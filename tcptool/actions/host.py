"""Where and when a report was made."""

from __future__ import annotations

import time

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
