"""What every path of the laboratory has: two private network namespaces with addresses.

They have no names and go with the processes that hold them (tests/support/netns.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from tests.support.netns import NetNs, new_netns

DirectionName = Literal["forward", "backward"]
"""Forward is from near to far."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a path, in namespaces of their own."""

    near: NetNs
    far: NetNs

    NEAR_IPV4: ClassVar = "10.77.0.1"
    FAR_IPV4: ClassVar = "10.77.0.2"
    NEAR_IPV6: ClassVar = "fd77::1"
    FAR_IPV6: ClassVar = "fd77::2"

    def far_address(self, *, ipv6: bool = False) -> str:
        return self.FAR_IPV6 if ipv6 else self.FAR_IPV4


@contextlib.contextmanager
def new_ends(sysctls: Mapping[str, object] | None = None) -> Iterator[Ends]:
    """Two namespaces, not joined yet, with ``sysctls`` set in both.

    Skips the test where the laboratory cannot be.
    """
    if os.geteuid() != 0:
        pytest.skip("the laboratory needs root")
    need("ip")
    with new_netns() as near, new_netns() as far:
        for namespace in (near, far):
            # What one connection learned about the peer must not change the next one.
            set_sysctl(namespace, "net.ipv4.tcp_no_metrics_save", 1)
            # Nobody asks for routers: the packets on the path are the test's.
            set_sysctl(namespace, "net.ipv6.conf.default.accept_ra", 0)
            for name, value in (sysctls or {}).items():
                set_sysctl(namespace, name, value)
        yield Ends(near, far)


def bring_up(ends: Ends, device: str, mtu_bytes: int, more: str = "") -> None:
    """Give the device of this name its addresses at both ends, and set it up."""
    if mtu_bytes < 1280:  # RFC 8200, 5: the device would have no IPv6
        raise ValueError(f"mtu_bytes={mtu_bytes}: IPv6 needs 1280 or more")
    for namespace, ipv4, ipv6 in (
        (ends.near, ends.NEAR_IPV4, ends.NEAR_IPV6),
        (ends.far, ends.FAR_IPV4, ends.FAR_IPV6),
    ):
        commands(
            namespace,
            f"ip link set {device} mtu {mtu_bytes} {more} up",
            f"ip address add {ipv4}/24 dev {device}",
            f"ip address add {ipv6}/64 dev {device} nodad",
        )


def commands(namespace: NetNs, *lines: str) -> None:
    """Run commands inside one after the other; the first failure fails the test."""
    namespace.run("sh", "-ec", "\n".join(lines))


def set_sysctl(namespace: NetNs, name: str, value: object) -> None:
    """Set ``net.…`` in one namespace and read it back."""

    def inside() -> str:
        path = Path("/proc/sys", *name.split("."))
        path.write_text(str(value))
        return " ".join(path.read_text().split())

    now = namespace.call(inside)
    if now != str(value):
        raise ValueError(f"{name}: asked for {value}, reads back {now}")


def need(command: str) -> None:
    """Skip the test where this command is missing."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
