"""Where and when a report was made."""

from __future__ import annotations

import time

from tcptool.linux.kernel import Kernel
from tcptool.model.report import Host


def host_facts(kernel: Kernel) -> Host:
    """Name and kernel of this host, and the time in UTC to the millisecond."""
    now_ms = round(kernel.wall_clock() * 1000)
    seconds, ms = divmod(now_ms, 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return Host(kernel.hostname(), kernel.release(), f"{stamp}.{ms:03d}Z")
