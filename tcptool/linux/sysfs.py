"""Reading /sys/class/net, under a root that tests can replace.

It shows the network namespace of whoever mounted it, which need not be the one that is asked
about: callers compare index and address before they believe it.
"""

from __future__ import annotations

import os

from tcptool.linux.procfs import visible


class SysFs:
    """One mounted /sys."""

    def __init__(self, root: str = "/sys") -> None:
        self.root = root

    def of_link(self, name: str, attribute: str) -> str | None:
        """An attribute of a network device, as ``duplex``; None if it does not tell.

        A device without carrier refuses some with EINVAL.
        """
        try:
            with open(f"{self.root}/class/net/{name}/{attribute}", "rb") as file:
                return visible(file.read()).strip()
        except (OSError, ValueError):
            return None

    def receive_queues(self, name: str) -> int | None:
        """How many receive queues a network device uses; None if it does not tell."""
        try:
            queues = os.listdir(f"{self.root}/class/net/{name}/queues")
        except (OSError, ValueError):
            return None
        return sum(queue.startswith("rx-") for queue in queues)
