"""What `explain` says about one name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One entry of the catalogs.

    ``kind``: ``tcp_info field``, ``column``, ``derived value``, ``socket option``, ``state``,
    ``congestion state``, ``timer``, ``negotiated option``, ``memory``, ``congestion control``,
    ``verdict``, ``sysctl``, ``counter`` or ``check of doctor``.
    ``facts`` are further properties as (what, value) pairs, in reading order.
    """

    name: str
    kind: str
    meaning: str
    unit: str
    pitfall: str
    since: str
    source: str
    kernel_name: str
    facts: tuple[tuple[str, str], ...]
