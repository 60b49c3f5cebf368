"""What the tests of whole commands look at: a web server on a fake kernel."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tcptool.catalog import diag
from tcptool.catalog.attributes import BbrInfo, SocketMemory
from tcptool.cli.app import app
from tests.support.fake_kernel import (
    FakeKernel,
    FieldValue,
    descriptor_for,
    diag_message,
    structure_bytes,
)

WEB = ("192.0.2.10", 443)
CLIENT = ("198.51.100.7", 51844)

INFO: dict[str, FieldValue] = {
    "ca_state": "open",
    "options": ("timestamps", "sack", "wscale"),
    "snd_wscale": 7,
    "rcv_wscale": 10,
    "rto_us": 204_000,
    "ato_us": 40_000,
    "snd_mss_bytes": 1448,
    "rcv_mss_bytes": 536,
    "last_data_sent_ms": 12,
    "last_data_recv_ms": 52,
    "last_ack_recv_ms": 8,
    "pmtu_bytes": 1500,
    "rtt_us": 24_500,
    "rttvar_us": 1_200,
    "snd_ssthresh_packets": "unlimited",
    "snd_cwnd_packets": 42,
    "advmss_bytes": 1448,
    "reordering_packets": 3,
    "rcv_space_bytes": 14_480,
    "rcv_ssthresh_bytes": 64_076,
    "unacked_packets": 20,
    "total_retrans_packets": 7,
    "pacing_rate_bytes_per_s": 3_400_000,
    "max_pacing_rate_bytes_per_s": "unlimited",
    "acked_bytes": 4_000_000,
    "received_bytes": 5_120,
    "segs_out": 2_900,
    "segs_in": 1_500,
    "notsent_bytes": 65_536,
    "min_rtt_us": 20_100,
    "data_segs_in": 4,
    "data_segs_out": 2_880,
    "delivery_rate_bytes_per_s": 2_500_000,
    "busy_time_us": 2_000_000,
    "rwnd_limited_us": 1_500_000,
    "sndbuf_limited_us": 0,
    "delivered_packets": 2_800,
    "sent_bytes": 4_200_000,
    "retrans_bytes": 10_500,
    "snd_wnd_bytes": 65_160,
    "rcv_wnd_bytes": 64_256,
}


def memory(**values: int) -> bytes:
    return structure_bytes(SocketMemory, length=None, **values)


def integer(value: int) -> bytes:
    return struct.pack("=i", value)


def web_server(root: Path) -> FakeKernel:
    """nginx (pid 42) listens and serves a client over IPv4 and one over IPv6; one has just left."""
    kernel = FakeKernel(root)
    listener = diag_message(
        "listen", local=("0.0.0.0", 443), inode=700, cookie=0x1000, rqueue=2, wqueue=511,
        tcp_info={"unacked_packets": 2, "sacked_packets": 511}, congestion="cubic",
        attributes={
            diag.ATTR_SKMEMINFO: memory(rcvbuf_bytes=131_072, sndbuf_bytes=16_384, drops=3)
        },
    )  # fmt: skip
    connection = diag_message(
        local=WEB, peer=CLIENT, inode=701, cookie=0x1001, wqueue=94_496, timer="retransmit",
        expires_ms=190, tcp_info=INFO, congestion="bbr",
        attributes={
            diag.ATTR_SKMEMINFO: memory(
                rcvbuf_bytes=131_072, sndbuf_bytes=425_984, wmem_queued_bytes=102_400
            ),
            diag.ATTR_BBRINFO: structure_bytes(
                BbrInfo, bw_lo=2_500_000, min_rtt_us=20_100, pacing_gain=256, cwnd_gain=512
            ),
            diag.ATTR_SHUTDOWN: b"\0",
            diag.ATTR_TOS: b"\x10",
            diag.ATTR_MARK: struct.pack("=I", 7),
        },
    )  # fmt: skip
    over_ipv6 = diag_message(
        "close-wait", local=("2001:db8::1", 443), peer=("2001:db8::77", 40000), inode=702,
        cookie=0x1002, rqueue=1, congestion="cubic",
        tcp_info={"rtt_us": 90_000, "min_rtt_us": None, "sent_bytes": 1000},
    )  # fmt: skip
    time_wait = diag_message(
        "time-wait", local=WEB, peer=("198.51.100.7", 51800), timer="time-wait", expires_ms=31_000,
        cookie=0x1003,
    )  # fmt: skip
    kernel.sockets += [listener, connection, time_wait, over_ipv6]
    kernel.tree.add(42, "nginx", sockets={6: 700, 9: 701, 11: 702}, cgroup="/system.slice/nginx")
    kernel.tree.add(43, "nginx", sockets={6: 700})
    kernel.tree.add(99, "postgres", sockets={3: 900}, links={0: "/dev/null"})
    kernel.tree.write("sys/net/core/wmem_max", "212992\n")
    kernel.tree.write("sys/net/core/rmem_max", "212992\n")
    kernel.fresh_options |= {
        (6, 1): integer(0),
        (1, 7): integer(16_384),
        (1, 9): integer(0),
        (1, 72): integer(0),
        (6, 4): integer(7200),
    }
    options = {
        (6, 1): integer(1),
        (1, 7): integer(425_984),
        (1, 9): integer(0),
        (1, 72): integer(1),
        (6, 4): integer(7200),
    }
    kernel.descriptors[42, 9] = descriptor_for(connection, options)
    kernel.descriptors[42, 6] = kernel.descriptors[43, 6] = descriptor_for(listener, options)
    kernel.descriptors[42, 11] = descriptor_for(over_ipv6, {})
    return kernel


@dataclass(frozen=True)
class Outcome:
    """What a command wrote, and its status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert (self.status, self.err) == (0, ""), self
        return json.loads(self.out)


def run(kernel: Any, *words: object, env: dict[str, str] | None = None) -> Outcome:
    """Run a command line on a kernel."""
    result = CliRunner().invoke(app, list(map(str, words)), obj=kernel, env=env)
    assert "Traceback" not in result.stderr or "--debug" in words, result.stderr
    return Outcome(result.exit_code, result.stdout, result.stderr)
