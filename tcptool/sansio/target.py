"""Reads the TARGET of a command line: a descriptor, a process, a socket, or a filter.

Nothing is looked up here: whether the target exists is for the caller to find out.
"""

from __future__ import annotations

import re
from typing import Final

from tcptool.errors import UsageError
from tcptool.model.filter import Host, Or
from tcptool.model.target import (
    Cookie,
    Descriptor,
    FilterTarget,
    FourTuple,
    Port,
    Process,
    Target,
)
from tcptool.sansio.filter_parser import (
    FilterError,
    Lookup,
    no_names,
    parse_cookie,
    parse_filter,
    parse_host,
    parse_port,
    printable,
)

ACCEPTED: Final = (
    "a target is PID:FD, PID, sk:COOKIE, :PORT, ADDR:PORT, ADDR:PORT-ADDR:PORT (IPv6 in brackets)"
    ' or a filter such as "state established and dport = :443"'
)

_INT_MAX: Final = (1 << 31) - 1
"""Largest pid_t and descriptor number: both are C ints."""

_END: Final = r"(?:\[[^\]\s]*\]|[0-9.]+):[0-9]+"
_ZONE: Final = re.compile(r"%[^\]%/]+(?=\])")
_ONE_END: Final = re.compile(_END)
_TWO_ENDS: Final = re.compile(f"({_END})-({_END})")


def parse_target(
    text: str, *, service_port: Lookup = no_names, interface_index: Lookup = no_names
) -> Target:
    """The target that ``text`` names.  The functions are those of ``parse_filter``.

    Raises UsageError, which lists what is accepted.
    """
    text = text.strip()
    try:
        return _simple(text, service_port) or _filter(text, service_port, interface_index)
    except FilterError as exc:
        raise _error(text, exc.why) from None
    except ValueError as exc:
        raise _error(text, str(exc)) from None


def _error(text: str, why: str) -> UsageError:
    return UsageError(f"reading the target '{printable(text[:60])}'", why, ACCEPTED)


def _filter(text: str, service_port: Lookup, interface_index: Lookup) -> FilterTarget:
    found = parse_filter(text, service_port=service_port, interface_index=interface_index)
    if found is None:
        raise ValueError("the target is empty")
    return FilterTarget(found)


def _simple(text: str, service_port: Lookup) -> Target | None:
    """A target that is not a filter; ValueError for one with a number out of range."""
    if match := re.fullmatch("([0-9]+):([0-9]+)", text):
        return Descriptor(_in_range(match[1], 1, "pid"), _in_range(match[2], 0, "descriptor"))
    if re.fullmatch("[0-9]+", text):
        return Process(_in_range(text, 1, "pid"))
    if text.lower().startswith("sk:"):
        return Cookie(parse_cookie(text))
    if re.fullmatch(r":[^\s:]+", text):
        return Port(parse_port(text[1:], service_port))
    if match := _TWO_ENDS.fullmatch(text):
        return _four_tuple(match[1], match[2])
    if _ONE_END.fullmatch(text):
        local_address, port = _end(text)
        bits = 8 * len(local_address)
        return FilterTarget(
            Or(tuple(Host(side, local_address, bits, port) for side in ("local", "peer")))
        )
    return None


def _in_range(digits: str, low: int, what: str) -> int:
    number = int(digits) if len(digits) <= 10 else _INT_MAX + 1
    if not low <= number <= _INT_MAX:
        raise ValueError(f"{digits[:20]} is not a {what}: it is {low} to {_INT_MAX}")
    return number


def _end(text: str) -> tuple[bytes, int]:
    """``ADDR:PORT`` of one socket: no prefix, nothing left out.

    The interface of a link-local address, ``[fe80::1%eth0]:80``, may stand there as other
    programs print it; the addresses and ports alone find the socket.
    """
    host = parse_host(_ZONE.sub("", text), "local")
    if host.address is None or host.port is None or host.prefix_bits != 8 * len(host.address):
        raise ValueError(f"'{text}' is not ADDR:PORT")
    return host.address, host.port


def _four_tuple(local: str, peer: str) -> FourTuple:
    local_address, local_port = _end(local)
    peer_address, peer_port = _end(peer)
    if len(local_address) != len(peer_address):
        raise ValueError("one address is IPv4 and the other IPv6")
    return FourTuple(local_address, local_port, peer_address, peer_port)
