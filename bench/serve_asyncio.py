"""What Python itself offers, to measure `serve` against: the least that asyncio and ASGI can do.

`python bench/serve_asyncio.py PORT BODY_FILE` serves that body by an asyncio protocol until a
signal.  `uvicorn serve_asyncio:app` serves it from a raw ASGI application; there the environment
variable BENCH_BODY names the file.  Only bench/serve.py is meant to run either.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, ClassVar, Final, cast

_BACKLOG: Final = 4096
_MESSAGE = MutableMapping[str, Any]


class Protocol(asyncio.Protocol):
    """Answers whatever ends in an empty line; nothing else of HTTP but `Connection: close`."""

    answer: ClassVar[bytes]

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        count = data.count(b"\r\n\r\n")
        if count:
            self._transport.write(self.answer * count if count > 1 else self.answer)
            if b"\r\nConnection: close\r\n" in data:
                self._transport.close()
        self._rest = b"" if data.endswith(b"\r\n\r\n") else data.rpartition(b"\r\n\r\n")[2]


async def app(
    scope: _MESSAGE,
    receive: Callable[[], Awaitable[_MESSAGE]],
    send: Callable[[_MESSAGE], Awaitable[None]],
) -> None:
    """A raw ASGI application; uvicorn calls it for each request."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


_BODY: Final = Path(os.environ["BENCH_BODY"]).read_bytes() if "BENCH_BODY" in os.environ else b""
_HEADERS: Final = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(_BODY))]


async def _serve(port: int, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    Protocol.answer = head.encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", port, backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
