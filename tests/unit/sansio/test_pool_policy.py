"""Which connection of a pool a request gets: each limit, and the rules as a state machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tcptool.sansio.pool_policy import Grant, PoolLimits, PoolPolicy, Steps

A, B, C = "a", "b", "c"


def pool(**limits: Any) -> PoolPolicy:
    return PoolPolicy(PoolLimits(**limits))


def lent(policy: PoolPolicy, host: str, now_s: float = 0) -> int:
    """The connection that is granted at once."""
    ticket, steps = policy.ask(host, now_s)
    (grant,) = steps.grants
    assert grant.ticket == ticket
    return grant.connection


def test_the_first_is_fresh_and_the_next_reuses_it() -> None:
    policy = pool()
    ticket, steps = policy.ask(A, 0)
    (first,) = steps.grants
    assert (first.ticket, first.fresh, steps.close) == (ticket, True, ())
    assert policy.give_back(first.connection, 1) == Steps()
    ticket, steps = policy.ask(A, 2)
    assert steps == Steps((), (Grant(ticket, first.connection, False),))
    assert (policy.counts().created, policy.counts().reused) == (1, 1)


def test_the_most_recently_used_is_lent_first() -> None:
    policy = pool()
    first, second = lent(policy, A), lent(policy, A)
    policy.give_back(second, 1)
    policy.give_back(first, 2)
    assert [lent(policy, A, 3), lent(policy, A, 3)] == [first, second]


def test_a_connection_is_for_its_host_only() -> None:
    policy = pool()
    of_a = lent(policy, A)
    policy.give_back(of_a, 0)
    assert lent(policy, B) != of_a


def test_the_total_is_a_limit_and_who_waits_is_served_in_order() -> None:
    policy = pool(total=1)
    connection = lent(policy, A)
    (first, nothing), (second, _) = policy.ask(A, 0), policy.ask(A, 0)
    assert nothing == Steps()
    assert policy.give_back(connection, 1).grants == (Grant(first, connection, False),)
    assert policy.give_back(connection, 2).grants == (Grant(second, connection, False),)
    assert policy.counts().waits == 2


def test_a_limit_for_one_host_does_not_hold_up_another() -> None:
    policy = pool(total=2, per_host=1)
    of_a = lent(policy, A)
    waiting, steps = policy.ask(A, 0)
    assert steps == Steps()
    of_b = lent(policy, B)
    assert policy.give_back(of_b, 1) == Steps()
    assert policy.give_back(of_a, 1).grants == (Grant(waiting, of_a, False),)


def test_an_idle_connection_of_another_host_makes_room() -> None:
    policy = pool(total=2)
    first, second = lent(policy, A), lent(policy, B)
    policy.give_back(second, 1)
    policy.give_back(first, 2)
    _, steps = policy.ask(C, 3)
    assert steps.close == (second,), "the one that was idle for longest"
    assert [one.fresh for one in steps.grants] == [True]
    assert policy.counts().evicted == 1


def test_what_comes_back_makes_room_for_another_host_that_waits() -> None:
    policy = pool(total=1)
    of_a = lent(policy, A)
    waiting, _ = policy.ask(B, 0)
    steps = policy.give_back(of_a, 1)
    assert steps.close == (of_a,)
    assert [(one.ticket, one.fresh) for one in steps.grants] == [(waiting, True)]


def test_a_lost_connection_makes_room() -> None:
    policy = pool(total=1)
    of_a = lent(policy, A)
    waiting, _ = policy.ask(A, 0)
    steps = policy.lose(of_a, 1)
    assert steps.close == ()
    assert [(one.ticket, one.fresh) for one in steps.grants] == [(waiting, True)]


def test_a_dead_one_is_exchanged_before_those_who_wait() -> None:
    policy = pool(total=1)
    dead = lent(policy, A)
    mine, waiting = 7, policy.ask(A, 0)[0]
    (grant,) = policy.exchange(mine, dead, 1).grants
    assert (grant.ticket, grant.fresh) == (mine, True)
    assert policy.give_back(grant.connection, 2).grants[0].ticket == waiting


def test_a_dead_one_is_exchanged_for_another_idle_one() -> None:
    policy = pool()
    idle, dead = lent(policy, A), lent(policy, A)
    policy.give_back(idle, 0)
    assert policy.exchange(7, dead, 1).grants == (Grant(7, idle, False),)


def test_refusal_at_once() -> None:
    policy = pool(total=1)
    connection = lent(policy, A)
    _, steps = policy.ask(A, 0, may_wait=False)
    assert steps == Steps()
    assert policy.give_back(connection, 1) == Steps(), "nobody waits"
    assert (policy.counts().refused, policy.counts().waits) == (1, 0)


def test_who_has_withdrawn_is_not_served() -> None:
    policy = pool(total=1)
    connection = lent(policy, A)
    first, second = policy.ask(A, 0)[0], policy.ask(A, 0)[0]
    assert policy.withdraw(first)
    assert not policy.withdraw(first)
    assert policy.give_back(connection, 1).grants[0].ticket == second
    assert not policy.withdraw(second), "it has been served"


@pytest.mark.parametrize(("passed_s", "reused"), [(30, True), (30.5, False)])
def test_what_is_idle_for_too_long_is_not_lent(passed_s: float, reused: bool) -> None:
    policy = pool(idle_s=30)
    old = lent(policy, A)
    policy.give_back(old, 100)
    _, steps = policy.ask(A, 100 + passed_s)
    assert (steps.grants[0].connection == old) == reused
    assert steps.close == (() if reused else (old,))
    assert policy.counts().expired == (0 if reused else 1)


@pytest.mark.parametrize(("passed_s", "reused"), [(60, True), (60.5, False)])
def test_what_is_too_old_is_not_lent_however_busy_it_was(passed_s: float, reused: bool) -> None:
    policy = pool(age_s=60)
    old = lent(policy, A, 100)
    policy.give_back(old, 100 + passed_s)
    assert (lent(policy, A, 100 + passed_s) == old) == reused


def test_cleaning_closes_what_is_old_of_every_host() -> None:
    policy = pool(idle_s=30)
    of_a, of_b, of_c = lent(policy, A), lent(policy, B), lent(policy, C)
    policy.give_back(of_a, 0)
    policy.give_back(of_b, 1)
    policy.give_back(of_c, 20)
    assert policy.clean(40) == Steps((of_a, of_b))
    assert policy.clean(40) == Steps()
    assert (policy.counts().expired, policy.counts().idle) == (2, 1)


def test_closing_gives_up_what_is_idle_and_who_waits() -> None:
    policy = pool(total=2)
    idle, busy = lent(policy, A), lent(policy, A)
    policy.ask(A, 0)
    policy.give_back(idle, 0)  # to the one who waits
    waiting = policy.ask(A, 0)[0]
    policy.give_back(busy, 1)
    assert policy.close() == Steps(())
    assert not policy.withdraw(waiting)
    policy.lose(idle, 2)
    policy.lose(busy, 2)
    assert (policy.counts().in_use, policy.counts().idle) == (0, 0)


def test_what_is_not_lent_cannot_come_back() -> None:
    policy = pool()
    connection = lent(policy, A)
    policy.give_back(connection, 0)
    for one in (connection, 999):
        with pytest.raises(ValueError, match="not lent"):
            policy.give_back(one, 0)
        with pytest.raises(ValueError, match="not lent"):
            policy.lose(one, 0)
        with pytest.raises(ValueError, match="not lent"):
            policy.exchange(1, one, 0)


@pytest.mark.parametrize(
    "limits", [{"total": 0}, {"per_host": 0}, {"idle_s": -1}, {"age_s": -1}, {"total": -5}]
)
def test_limits_that_make_no_sense(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pool|time"):
        PoolLimits(**limits)


class PoolMachine(RuleBasedStateMachine):
    """The rules at the top of the module, whatever is asked, given back, lost and withdrawn."""

    @initialize(
        total=st.integers(1, 5),
        per_host=st.none() | st.integers(1, 3),
        age_s=st.none() | st.integers(0, 9),
    )
    def begin(self, total: int, per_host: int | None, age_s: int | None) -> None:
        self.policy = PoolPolicy(PoolLimits(total=total, per_host=per_host, idle_s=4, age_s=age_s))
        self.now_s = 0.0
        self.open: dict[int, str] = {}
        self.lent: dict[int, int] = {}
        """Connection to ticket."""
        self.waiting: dict[int, str] = {}

    def take(self, steps: Steps, ticket: int | None = None, host: str = "") -> None:
        for connection in steps.close:
            assert connection not in self.lent
            del self.open[connection]
        for grant in steps.grants:
            wanted = self.waiting.pop(grant.ticket, host if grant.ticket == ticket else None)
            assert wanted, "granted to nobody who asked"
            assert grant.connection not in self.lent, "lent twice"
            assert grant.fresh == (grant.connection not in self.open)
            assert self.open.setdefault(grant.connection, wanted) == wanted
            self.lent[grant.connection] = grant.ticket

    @rule(host=st.sampled_from([A, B, C]), may_wait=st.booleans())
    def ask(self, host: str, may_wait: bool) -> None:
        ticket, steps = self.policy.ask(host, self.now_s, may_wait=may_wait)
        self.take(steps, ticket, host)
        if not steps.grants and may_wait:
            self.waiting[ticket] = host

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), how=st.sampled_from(["give_back", "lose", "exchange"]))
    def end(self, data: st.DataObject, how: str) -> None:
        connection = data.draw(st.sampled_from(sorted(self.lent)))
        ticket = self.lent.pop(connection)
        before = list(self.waiting.items())
        if how == "give_back":
            steps = self.policy.give_back(connection, self.now_s)
        else:
            host = self.open.pop(connection)
            if how == "exchange":
                self.take(self.policy.exchange(ticket, connection, self.now_s), ticket, host)
                return
            steps = self.policy.lose(connection, self.now_s)
        self.take(steps)
        for grant in steps.grants:  # in order: whoever was passed over waits for a full host
            for earlier, host in before[: [t for t, _ in before].index(grant.ticket)]:
                assert earlier in self.waiting
                assert self.host_is_full(host)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.policy.withdraw(ticket)
        del self.waiting[ticket]

    @rule(passed_s=st.integers(0, 6), clean=st.booleans())
    def time_passes(self, passed_s: int, clean: bool) -> None:
        self.now_s += passed_s
        if clean:
            self.take(self.policy.clean(self.now_s))

    @rule()
    def close(self) -> None:
        self.take(self.policy.close())
        self.waiting.clear()

    def host_is_full(self, host: str) -> bool:
        per_host = self.policy.limits.per_host
        return per_host is not None and list(self.open.values()).count(host) >= per_host

    @invariant()
    def never_above_a_limit(self) -> None:
        limits = self.policy.limits
        assert len(self.open) <= limits.total
        for host in (A, B, C):
            assert limits.per_host is None or (
                list(self.open.values()).count(host) <= limits.per_host
            )

    @invariant()
    def nobody_waits_who_could_be_served(self) -> None:
        idle = [host for connection, host in self.open.items() if connection not in self.lent]
        for host in self.waiting.values():
            assert host not in idle
            if not self.host_is_full(host):
                assert len(self.open) == self.policy.limits.total
                assert not idle

    @invariant()
    def the_counts_are_true(self) -> None:
        counts = self.policy.counts()
        assert (counts.in_use, counts.waiting) == (len(self.lent), len(self.waiting))
        assert counts.in_use + counts.idle == len(self.open)


PoolMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_the_rules_hold_whatever_happens = PoolMachine.TestCase
