"""Which values of options are remarkable."""

from __future__ import annotations

import pytest

from tcptool.analysis.option_marks import BUFFERS, CHANGED, CLAMPED, MARK_MEANINGS, PINNED, marks
from tcptool.catalog.options import BY_NAME, OptionValue

LOCKED = ("send", "receive")


def test_every_mark_has_a_meaning() -> None:
    assert list(MARK_MEANINGS) == [CHANGED, PINNED, CLAMPED]
    assert all(MARK_MEANINGS.values())


def test_the_buffers_are_options() -> None:
    assert BUFFERS.keys() <= BY_NAME.keys()


@pytest.mark.parametrize(
    ("name", "value", "default", "expected"),
    [
        ("TCP_NODELAY", True, False, (CHANGED,)),
        ("TCP_NODELAY", False, False, ()),
        ("TCP_KEEPIDLE", 60, 7200, (CHANGED,)),
        ("TCP_KEEPIDLE", None, 7200, ()),
        ("TCP_KEEPIDLE", 60, None, ()),
        ("TCP_CONGESTION", "bbr", "cubic", (CHANGED,)),
        ("TCP_QUICKACK", False, True, ()),  # fades by itself
        ("TCP_MAXSEG", 1448, 536, ()),  # every connection has its own
        ("IP_TTL", 9, 64, (CHANGED,)),
        (
            "SO_LINGER",
            {"enabled": True, "seconds": 7},
            {"enabled": False, "seconds": 0},
            (CHANGED,),
        ),
        ("IPV6_V6ONLY", True, False, ()),  # bind() to an IPv6 address sets it
        ("IPV6_UNICAST_HOPS", 255, 64, ()),  # the route's
        ("SO_TYPE", 1, 2, ()),  # never changes
    ],
)
def test_a_value_that_differs_from_the_default_was_changed(
    name: str, value: OptionValue | None, default: OptionValue | None, expected: tuple[str, ...]
) -> None:
    assert marks(BY_NAME[name], value, default, locks=()) == expected


@pytest.mark.parametrize(
    ("name", "value", "locks", "limit_bytes", "expected"),
    [
        ("SO_SNDBUF", 4_000_000, (), 4_194_304, ()),  # grown by autotuning
        ("SO_SNDBUF", 65_536, ("send",), 4_194_304, (PINNED,)),
        ("SO_SNDBUF", 65_536, ("receive",), 4_194_304, ()),
        ("SO_RCVBUF", 65_536, ("receive",), None, (PINNED,)),
        ("SO_RCVBUF", 65_536, LOCKED, 32_768, (PINNED, CLAMPED)),
        ("SO_SNDBUF", 65_536, LOCKED, 65_536, (PINNED,)),
        ("SO_SNDBUF", 65_536, None, 32_768, ()),  # a kernel without SO_BUF_LOCK
        ("SO_SNDBUF", None, LOCKED, 32_768, ()),
    ],
)
def test_a_buffer_is_remarkable_only_when_it_is_locked(
    name: str,
    value: int | None,
    locks: tuple[str, ...] | None,
    limit_bytes: int | None,
    expected: tuple[str, ...],
) -> None:
    found = marks(BY_NAME[name], value, 16_384, locks=locks, limit_bytes=limit_bytes)
    assert found == expected
