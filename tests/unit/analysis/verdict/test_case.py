"""What a case says of its connection, also where the kernel says little."""

from __future__ import annotations

from typing import Any

import pytest

from tcptool.analysis.verdict.case import Case, open_case
from tests.unit.analysis.verdict.observations import observed, readings


def case_of(info: dict[str, Any], other: Any = (), **sock_fields: Any) -> Case:
    own = readings(info, samples=11, sock_fields=sock_fields)  # 200 ms
    return open_case(observed(own, other))


@pytest.mark.parametrize(
    ("info", "moved"),
    [
        ({"acked_bytes": [1, 2]}, True),
        ({"received_bytes": [1, 2]}, True),
        ({"acked_bytes": 1}, False),
        ({"received_bytes": 1, "last_data_sent_ms": 0}, False),
        # 104 bytes of tcp_info have no counters, but say when data went or came last.
        ({"last_data_sent_ms": 199, "last_data_recv_ms": 9999}, True),
        ({"last_data_sent_ms": 9999, "last_data_recv_ms": 199}, True),
        ({"last_data_sent_ms": 201, "last_data_recv_ms": 201}, False),
        ({}, None),
    ],
)
def test_whether_data_moved(info: dict[str, Any], moved: bool | None) -> None:
    assert case_of(info).moved is moved


@pytest.mark.parametrize(
    ("state", "queue", "unread"),
    [
        ("established", 5, 5),
        ("established", None, 0),
        ("close-wait", 5, 4),  # a FIN counts as a byte
        ("close-wait", 1, 0),
        ("close-wait", 0, 0),
    ],
)
def test_what_waits_unread(state: str, queue: int | None, unread: int) -> None:
    assert case_of({}, state=state, receive_queue_bytes=queue).unread_bytes == unread


@pytest.mark.parametrize("state", ["listen", "established"])
def test_only_a_listener_is_the_listener(state: str) -> None:
    other = readings({}, sock_fields={"state": state})
    found = case_of({}, other).listener
    assert (found is not None) is (state == "listen")
    assert case_of({}).listener is None
