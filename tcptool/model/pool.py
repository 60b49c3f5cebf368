"""What a pool of connections has, and what happened so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """``total`` connections of at most ``limit`` are there, lent or idle; some ask and wait.

    The rest counts from the start: connections made, lent again, closed because they were idle
    for too long or to make room for another host (``evicted``); found dead before they were lent
    (``invalid_found``), and lent though they were dead (``stale_handed_out``); requests that had
    to wait, and that were refused.
    """

    total: int
    in_use: int
    idle: int
    limit: int
    waiting: int
    created: int
    reused: int
    expired: int
    evicted: int
    invalid_found: int
    stale_handed_out: int
    waits: int
    refused: int
