"""The web server of scene.py with a connection whose counters move while it is sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tcptool.catalog import diag
from tests.cli.scene import CLIENT, INFO, WEB, integer, memory, web_server
from tests.support.fake_kernel import FakeKernel, FieldValue, descriptor_for, diag_message

PLACE = 1
"""Where the connection stands among the sockets of web_server()."""

WELL: dict[str, FieldValue] = INFO | {
    "unacked_packets": 20,
    "snd_ssthresh_packets": 30,
    "snd_wnd_bytes": 1_000_000,
    "notsent_bytes": 65_536,
    "rwnd_limited_us": 0,
    "retrans_bytes": 0,
}
MOVING = {
    "busy_time_us": 1_000_000,
    "acked_bytes": 500_000,
    "sent_bytes": 500_000,
    "data_segs_out": 345,
    "delivered_packets": 345,
}
"""By how much the counters of a sender grow in a second."""


@dataclass
class Living:
    """A fake kernel, and what its connection (42:9, nginx) looks like.

    ``info`` may change while it is sampled: it is called with the seconds that have passed.
    """

    root: Path
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    rises: Mapping[str, int] = field(default_factory=lambda: MOVING)
    more: Mapping[str, Any] = field(default_factory=dict)
    info: Callable[[float], Mapping[str, FieldValue]] = lambda _passed_s: {}
    congestion: str = "cubic"
    buf_lock: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    kernel: FakeKernel = field(init=False)

    def __post_init__(self) -> None:
        self.kernel = web_server(self.root)
        for name, text in {
            "net/ipv4/tcp_rmem": "4096\t131072\t33554432",
            "net/ipv4/tcp_wmem": "4096\t16384\t4194304",
            "net/core/somaxconn": "4096",
            "net/ipv4/tcp_mtu_probing": "0",
            "net/ipv4/tcp_available_congestion_control": "reno bbr cubic",
        }.items():
            self.kernel.tree.write(f"sys/{name}", f"{text}\n")
        self._begin = self.kernel.ticks
        self.kernel.on_wait = self._move
        self._move(self.kernel)
        options = {(6, 1): 0, (6, 3): 0, (1, 72): self.buf_lock, (1, 9): 0, (6, 6): 9, (6, 18): 0}
        self.kernel.descriptors[42, 9] = descriptor_for(
            self.kernel.sockets[PLACE], {key: integer(value) for key, value in options.items()}
        )

    def _move(self, kernel: FakeKernel) -> None:
        passed_s = kernel.ticks - self._begin
        info = {**WELL, **self.fields}
        for name, rise in self.rises.items():
            value = info.get(name, 0)
            assert isinstance(value, int)
            info[name] = value + round(rise * passed_s)
        sizes = {"rcvbuf_bytes": 131_072, "sndbuf_bytes": 1_000_000, "wmem_queued_bytes": 102_400}
        known: dict[str, Any] = (
            {
                "local": WEB, "peer": CLIENT, "inode": 701, "cookie": 0x1001, "wqueue": 94_496,
                "tcp_info": info | dict(self.info(passed_s)), "congestion": self.congestion,
                "attributes": {diag.ATTR_SKMEMINFO: memory(**sizes | dict(self.sizes))},
            }
            | dict(self.more)
        )  # fmt: skip
        kernel.sockets[PLACE] = diag_message(**known)
