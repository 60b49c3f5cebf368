"""What of the machine bears on a measurement: processors, their governor, the load."""

from __future__ import annotations

import os

_GOVERNOR = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
"""Documentation/admin-guide/pm/cpufreq.rst; absent in most virtual machines."""


def allowed_processors() -> tuple[int, ...]:
    """The processors that this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0)))


def processors() -> int:
    """How many processors there are, allowed or not."""
    return os.cpu_count() or 1


def keep_on(processors: tuple[int, ...]) -> None:
    """Let this process run on these only.  Raises OSError: EINVAL if there is none of them."""
    os.sched_setaffinity(0, processors)


def governor(processor: int) -> str | None:
    """Who chooses the processor's speed, as ``performance``; None if it does not tell."""
    try:
        with open(_GOVERNOR.format(processor), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def load_percent() -> float | None:
    """Load average of the last minute as a share of the processors; None if it is not known."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        return None
    return 100 * load / processors()
