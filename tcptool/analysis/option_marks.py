"""What is remarkable about an option's value: changed by the owner, pinned, clamped."""

from __future__ import annotations

from typing import Final

from tcptool.catalog.options import OptionValue, SocketOption, When

CHANGED: Final = "changed"
PINNED: Final = "pinned"
CLAMPED: Final = "clamped"

MARK_MEANINGS: Final = {
    CHANGED: "differs from what a fresh socket of this kernel has",
    PINNED: "set by hand, so the kernel no longer tunes this buffer",
    CLAMPED: "stands at the limit of its sysctl: more may have been asked for",
}

BUFFERS: Final = {
    "SO_SNDBUF": ("send", "net.core.wmem_max"),
    "SO_RCVBUF": ("receive", "net.core.rmem_max"),
}
"""Buffer options: their word in SO_BUF_LOCK, and the sysctl that limits setting them."""


def marks(
    option: SocketOption,
    value: OptionValue | None,
    default: OptionValue | None,
    *,
    locks: OptionValue | None,
    limit_bytes: int | None = None,
) -> tuple[str, ...]:
    """The marks of one reading.

    ``locks`` is the value of SO_BUF_LOCK; ``limit_bytes`` the buffer's sysctl limit.  A
    buffer grows by itself, so it is remarkable only when it is locked.
    """
    if value is None:
        return ()
    if option.name in BUFFERS:
        word, _ = BUFFERS[option.name]
        if not isinstance(locks, tuple) or word not in locks:
            return ()
        at_limit = limit_bytes is not None and value == 2 * limit_bytes
        return (PINNED, CLAMPED) if at_limit else (PINNED,)
    if default is None or option.tuned_by_kernel or option.when is When.FIXED:
        return ()
    return (CHANGED,) if value != default else ()
