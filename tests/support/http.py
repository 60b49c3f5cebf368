"""Requests as a server has read them, and its answers as h11 reads them."""

from __future__ import annotations

import os
from typing import NamedTuple

import h11

from tcptool.sansio.http1 import Request, read_whole
from tcptool.traffic.answers import Answer
from tcptool.traffic.outgoing import PATTERN


class Reply(NamedTuple):
    """An answer; names of fields are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


def asked(
    target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", host: str = "t"
) -> Request:
    """A request without a body, read from its bytes."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *fields, "", ""]
    (request,) = read_whole("\r\n".join(lines).encode("latin-1")) or []
    return request


def reply_to(request: Request, answer: Answer) -> Reply:
    """What a client makes of an answer; the file of it is closed.

    It ends where the client expects its end, and both agree on whether another may follow.
    """
    data = answer.head + answer.body + bytes(PATTERN[: answer.pattern_bytes])
    assert answer.pattern_bytes <= len(PATTERN)
    if answer.file:
        fd, start, stop = answer.file
        data += os.pread(fd, stop - start, start)
        os.close(fd)
    client = h11.Connection(h11.CLIENT)
    asks = [("Host", "t"), ("Connection", request.field("connection") or "")]
    client.send(h11.Request(method=request.method, target=request.target, headers=asks))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    assert (client.their_state is h11.DONE) == answer.keep_alive
    fields = {name.decode(): value.decode("latin-1") for name, value in response.headers}
    assert len(fields) == len(response.headers), "no field is sent twice"
    return Reply(response.status_code, fields, body)
