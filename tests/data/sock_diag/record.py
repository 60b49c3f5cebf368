"""Record replies of sock_diag and /proc/net for the tests: run as root, writes beside itself.

    PYTHONPATH=. .venv/bin/python tests/data/sock_diag/record.py

The sockets live in a private network namespace, so nothing of the machine gets into the files.
"""

from __future__ import annotations

import select
import socket
import struct
from pathlib import Path
from typing import Final

from tcptool.catalog import diag
from tcptool.decode.diag_request import dump_request, exact_request
from tcptool.decode.netlink import messages
from tcptool.linux.kernel import LiveKernel
from tests.support.netns import new_netns

HERE: Final = Path(__file__).parent
TCP_MD5SIG: Final = 14
SO_MARK: Final = 36
KEY: Final = b"an-example-not-a-secret"
LINE: Final = 64


def listener(family: int, port: int, *, protocol: int = 0) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::" if family == socket.AF_INET6 else "127.0.0.1", port))
    made.listen(16)
    return made


def connected(
    server: socket.socket, address: str, source_port: int, *, algorithm: bytes = b"cubic"
) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM, server.proto)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm)
    client.bind((address, source_port))
    client.connect((address, server.getsockname()[1]))
    accepted, _ = server.accept()
    return client, accepted


def exchange(client: socket.socket, server: socket.socket, size: int) -> None:
    """``size`` bytes there and back, all of them read."""
    for source, sink in ((client, server), (server, client)):
        source.sendall(bytes(size))
        left = size
        while left:
            left -= len(sink.recv(left))


def make_sockets() -> list[socket.socket]:
    """One socket or more in every state that holds still."""
    v4 = listener(socket.AF_INET, 8080)
    v6 = listener(socket.AF_INET6, 8081)
    kept = [v4, v6]

    cubic, its_server = connected(v4, "127.0.0.1", 40001)
    exchange(cubic, its_server, 100_000)
    cubic.sendall(b"unread")
    cubic.setsockopt(socket.SOL_SOCKET, SO_MARK, 42)
    bbr, its_peer = connected(v6, "::1", 40002, algorithm=b"bbr")
    exchange(bbr, its_peer, 100_000)
    bbr.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    bbr.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0x28)
    mapped, its_mapped = connected(v6, "127.0.0.1", 40003)
    kept += [cubic, its_server, bbr, its_peer, mapped, its_mapped]

    half, still_open = connected(v4, "127.0.0.1", 40004)
    half.shutdown(socket.SHUT_WR)  # FIN-WAIT-2 here, CLOSE-WAIT there
    kept += [half, still_open]

    gone, first = connected(v4, "127.0.0.1", 40005)
    gone.shutdown(socket.SHUT_WR)
    first.close()
    gone.recv(1)
    gone.close()  # TIME-WAIT

    waiting = socket.socket()  # in the accept queue: no inode
    waiting.bind(("127.0.0.1", 40006))
    waiting.connect(("127.0.0.1", 8080))
    stuffed, unread = connected(v4, "127.0.0.1", 40007)
    stuffed.setblocking(False)
    while select.select([], [stuffed], [], 0.5)[1]:
        stuffed.send(bytes(65536))  # until the window is closed: the persist timer
    kept += [waiting, stuffed, unread]

    unanswered = socket.socket()
    unanswered.setblocking(False)
    unanswered.bind(("127.0.0.1", 40008))
    v4_full = listener(socket.AF_INET, 8082)
    v4_full.listen(0)
    filling = socket.socket()
    filling.bind(("127.0.0.1", 40009))
    filling.connect(("127.0.0.1", 8082))
    unanswered.connect_ex(("127.0.0.1", 8082))  # SYN-SENT: the queue is full
    kept += [v4_full, unanswered, filling]

    multipath = listener(socket.AF_INET, 8083, protocol=diag.IPPROTO_MPTCP)
    flow, its_flow = connected(multipath, "127.0.0.1", 40010)
    exchange(flow, its_flow, 10_000)
    kept += [multipath, flow, its_flow]

    signed = listener(socket.AF_INET, 8084)
    for address in (b"\x0a\0\0\1", b"\x0a\0\0\2"):
        peer = struct.pack("=H2x4s120x", socket.AF_INET, address)
        key = struct.pack("=BBHi80s", 0, 0, len(KEY), 0, KEY)
        signed.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, peer + key)
    return [*kept, signed]


def write(name: str, raw: bytes) -> None:
    text = raw.hex()
    lines = [text[i : i + LINE] for i in range(0, len(text), LINE)]
    (HERE / name).write_text("\n".join(lines) + "\n")


def record() -> None:
    kept = make_sockets()
    kernel = LiveKernel()
    dumps = {
        "dump-ipv4": dump_request(diag.AF_INET),
        "dump-ipv6": dump_request(diag.AF_INET6),
        "dump-ipv4-bare": dump_request(diag.AF_INET, extensions=0),
        "dump-mptcp": dump_request(diag.AF_INET, protocol=diag.IPPROTO_MPTCP),
    }
    found = {name: b"".join(kernel.diag(request)) for name, request in dumps.items()}
    texts = {name: kernel.net_text(name) for name in ("tcp", "tcp6")}
    first = next(iter(messages(found["dump-ipv6"]))).payload
    found["exact-ipv6"] = b"".join(kernel.diag(exact_request(diag.AF_INET6, first[4:52])))
    for name, raw in found.items():
        write(f"{name}.hex", raw)
    for name, text in texts.items():
        (HERE / f"proc-net-{name}.txt").write_text(text)
    for one in kept:
        one.close()


if __name__ == "__main__":
    with new_netns() as namespace:
        namespace.call(record)
