"""`inspect` on real sockets: what ss says, what the owner set, and every way to name a socket."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.live.program import NOBODY, PAIR, Owner, inspect, options_of, owner, settled, ss, tcptool
from tests.support.netns import NetNs
from tests.support.waiting import wait_until

# -- field by field against ss -----------------------------------------------------------------

# What ss -tinmoe prints, as "name:value" or "name value", and where `inspect` has it; a float is
# how much of ss's unit makes one of ours.
_NAMED: dict[str, tuple[str, float]] = {
    "ino": ("inode", 1),
    "uid": ("uid", 1),
    "rto": ("tcp_info.rto_us", 1e3),
    "ato": ("tcp_info.ato_us", 1e3),
    "backoff": ("tcp_info.backoff", 1),
    "mss": ("tcp_info.snd_mss_bytes", 1),
    "pmtu": ("tcp_info.pmtu_bytes", 1),
    "rcvmss": ("tcp_info.rcv_mss_bytes", 1),
    "advmss": ("tcp_info.advmss_bytes", 1),
    "cwnd": ("tcp_info.snd_cwnd_packets", 1),
    "ssthresh": ("tcp_info.snd_ssthresh_packets", 1),
    "bytes_sent": ("tcp_info.sent_bytes", 1),
    "bytes_retrans": ("tcp_info.retrans_bytes", 1),
    "bytes_acked": ("tcp_info.acked_bytes", 1),
    "bytes_received": ("tcp_info.received_bytes", 1),
    "segs_out": ("tcp_info.segs_out", 1),
    "segs_in": ("tcp_info.segs_in", 1),
    "data_segs_out": ("tcp_info.data_segs_out", 1),
    "data_segs_in": ("tcp_info.data_segs_in", 1),
    "lastsnd": ("tcp_info.last_data_sent_ms", 1),
    "lastrcv": ("tcp_info.last_data_recv_ms", 1),
    "lastack": ("tcp_info.last_ack_recv_ms", 1),
    "pacing_rate": ("tcp_info.pacing_rate_bytes_per_s", 1 / 8),
    "delivery_rate": ("tcp_info.delivery_rate_bytes_per_s", 1 / 8),
    "delivered": ("tcp_info.delivered_packets", 1),
    "busy": ("tcp_info.busy_time_us", 1e3),
    "rwnd_limited": ("tcp_info.rwnd_limited_us", 1e3),
    "sndbuf_limited": ("tcp_info.sndbuf_limited_us", 1e3),
    "unacked": ("tcp_info.unacked_packets", 1),
    "lost": ("tcp_info.lost_packets", 1),
    "sacked": ("tcp_info.sacked_packets", 1),
    "dsack_dups": ("tcp_info.dsack_dups", 1),
    "reordering": ("tcp_info.reordering_packets", 1),
    "reord_seen": ("tcp_info.reord_seen", 1),
    "rcv_rtt": ("tcp_info.rcv_rtt_us", 1e3),
    "rcv_space": ("tcp_info.rcv_space_bytes", 1),
    "rcv_ssthresh": ("tcp_info.rcv_ssthresh_bytes", 1),
    "notsent": ("tcp_info.notsent_bytes", 1),
    "minrtt": ("tcp_info.min_rtt_us", 1e3),
    "rcv_ooopack": ("tcp_info.rcv_ooopack_packets", 1),
    "snd_wnd": ("tcp_info.snd_wnd_bytes", 1),
}
_SKMEM = {
    "r": "rmem_alloc_bytes",
    "rb": "rcvbuf_bytes",
    "t": "wmem_alloc_bytes",
    "tb": "sndbuf_bytes",
    "f": "fwd_alloc_bytes",
    "w": "wmem_queued_bytes",
    "o": "optmem_bytes",
    "bl": "backlog_bytes",
    "d": "drops",
}
_FLAGS = {"ts": "timestamps", "sack": "sack", "ecn": "ecn"}
Expected = dict[str, tuple[float, float]]
"""By path: what ss printed in our unit, and how exact that is."""


def read_ss(line: str) -> dict[str, Any]:
    """One socket of ``ss -tinmoe``: exact texts under their path, numbers with their grain."""
    state, receive, send, _local, _peer, *words = line.split()
    listening = state == "LISTEN"
    found: dict[str, Any] = {
        "accept_queue" if listening else "receive_queue_bytes": (float(receive), 0),
        "backlog" if listening else "send_queue_bytes": (float(send), 0),
    }
    text = " ".join(words)
    for name, value in re.findall(r"(\w+)[: ]([0-9.]+)(?:ms|bps)?(?= |$|\()", text):
        if name in _NAMED and not (listening and name in ("cwnd", "unacked")):
            path, factor = _NAMED[name]
            found[path] = (float(value) * factor, 0.6 * factor if "." in value else 1.0)
    for pattern, paths, factor in (
        (r" rtt:([\d.]+)/([\d.]+)", ("tcp_info.rtt_us", "tcp_info.rttvar_us"), 1e3),
        (r" wscale:(\d+),(\d+)", ("tcp_info.snd_wscale", "tcp_info.rcv_wscale"), 1),
        (
            r" retrans:(\d+)/(\d+)",
            ("tcp_info.retrans_packets", "tcp_info.total_retrans_packets"),
            1,
        ),
    ):
        if match := re.search(pattern, text):
            for path, value in zip(paths, match.groups(), strict=True):
                found[path] = (float(value) * factor, 1)
    if match := re.search(r"skmem:\((.*?)\)", text):
        for letters, value in re.findall(r"([a-z]+)(\d+)", match[1]):
            found[f"memory.{_SKMEM[letters]}"] = (float(value), 0)
    if match := re.search(r"timer:\((\w+),([^,]+),(\d+)\)", text):
        found["timer"] = {"on": "retransmit"}.get(match[1], match[1])
        found["timer_expires_ms"] = time_of_ss(match[2])
        found["timer_retransmits"] = (float(match[3]), 0)
    if match := re.search(r" sk:(\w+)", text):
        found["cookie"] = match[1]
    if match := re.search(r" (reno|cubic|bbr) ", text):
        found["congestion.name"] = match[1]
    if match := re.search(r"mrtt:([\d.]+)", text):
        found["congestion.bbr.min_rtt_us"] = (float(match[1]) * 1e3, 1)
    found["tcp_info.options"] = {word for short, word in _FLAGS.items() if short in words}
    return found


def time_of_ss(text: str) -> tuple[float, float]:
    """Milliseconds in ``119min``, ``4min12sec``, ``7.240ms`` (7.24 s), and how many were left out.

    See print_ms_timer() in misc/ss.c.
    """
    parts = re.fullmatch(r"(?:(\d+)min)?(?:(\d+)(?:sec|\.))?(?:(\d+)ms)?", text)
    assert parts, text
    minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
    total = minutes * 60_000 + seconds * 1000 + milliseconds
    return total, 60_000 if minutes > 9 else 1000 if minutes or seconds > 9 else 1


def value_at(sock: Any, path: str) -> Any:
    for key in path.split("."):
        sock = None if sock is None else sock[key]
    return sock


_NEEDS = {
    "tcp_info.last_data_sent_ms": "data_segs_out",
    "tcp_info.last_data_recv_ms": "data_segs_in",
}
"""Times since an event that may not have happened yet, and the counter of that event."""


def _nothing_yet(sock: Any) -> set[str]:
    info = sock["tcp_info"] or {}
    return {name for name in _NEEDS.values() if info.get(name) == 0}


def disagreements(before: Any, after: Any, line: str) -> list[str]:
    """Fields in which ss, asked in between, says something that lies outside of both."""
    wrong = []
    for path, wanted in read_ss(line).items():
        values = [value_at(sock, path) for sock in (before, after)]
        if _NEEDS.get(path) in _nothing_yet(before):
            assert values == [None, None], (
                path
            )  # ss prints the age of the connection, or of the host
            continue
        if isinstance(wanted, tuple):
            number, grain = wanted
            known = [value for value in values if value is not None]
            good = bool(known) and min(known) - grain <= number <= max(known) + grain
        elif isinstance(wanted, set):
            good = wanted == set(values[0] or ()) & set(_FLAGS.values())
        else:
            good = wanted in values
        if not good:
            wrong.append(f"{path}: ss {wanted}, inspect {values}")
    return wrong


def compare_with_ss(netns: NetNs, one: Owner, name: str) -> tuple[Any, dict[str, Any]]:
    """Check one socket field by field; what moves in between is looked at again."""
    port, wrong, line = one.port(name), ["nothing yet"], ""
    peer = "*" if one(f"{name}.getsockopt(1, 30)") else one(f"{name}.getpeername()[1]")
    before: Any = None

    def agree() -> bool:
        nonlocal wrong, before, line
        before = inspect(one.at(name), netns)["data"]["socket"]
        lines = "\n".join(ss(netns, "-tainmoe")).replace("\n\t", " ").splitlines()
        [line] = [
            each for each in lines if re.search(rf":{port}\s+\S+:{re.escape(str(peer))}\s", each)
        ]
        after = inspect(one.at(name), netns)["data"]["socket"]
        wrong = disagreements(before, after, line)
        return not wrong

    try:
        wait_until(agree, deadline_s=20)
    except TimeoutError:
        pytest.fail("\n".join([*wrong, line]))
    return before, read_ss(line)


def test_listening_socket_agrees_with_ss(netns: NetNs) -> None:
    setup = PAIR + "more = [socket.create_connection(server.getsockname()) for _ in range(3)]"
    with owner(netns, setup=setup) as one:
        sock, seen = compare_with_ss(netns, one, "server")
        assert (sock["state"], sock["accept_queue"]) == ("listen", 3)
        assert seen.keys() >= {"accept_queue", "backlog", "memory.drops", "inode", "cookie"}
        info = sock["tcp_info"]
        # For a listener the kernel fills only a few fields: the others are absent, not zero.
        assert (info["rtt_us"], info["sent_bytes"], info["pmtu_bytes"]) == (None, None, None)
        assert (sock["receive_queue_bytes"], sock["send_queue_bytes"]) == (None, None)


def test_idle_socket_agrees_with_ss(netns: NetNs) -> None:
    keepalive = (
        "client.setsockopt(1, 9, 1)\nclient.send(b'hello')\nconn.recv(9)\nconn.send(b'you')\n"
    )
    with owner(netns, setup=PAIR + keepalive + "client.recv(9)") as one:
        sock, seen = compare_with_ss(netns, one, "client")
        assert (sock["timer"], sock["tcp_info"]["received_bytes"]) == ("keepalive", 3)
        assert len(seen) >= 35
        sock, _ = compare_with_ss(netns, one, "conn")
        assert sock["timer"] == "off"


BULK = """
conn.setblocking(False)
client.setblocking(False)
def transfer(size):
    sent = received = 0
    while received < size:
        ready = select.select([conn], [client] if sent < size else [], [], 10)
        assert ready[0] or ready[1]
        if ready[1]:
            sent += client.send(bytes(min(65536, size - sent)))
        if ready[0]:
            received += len(conn.recv(1 << 20))
    return received
"""
FILL = """
try:
    while True:
        client.send(bytes(65536))
except BlockingIOError:
    pass
"""


def test_bulk_socket_agrees_with_ss(netns: NetNs) -> None:
    with owner(netns, setup=PAIR + BULK) as one:
        assert one("transfer(20 << 20)") >= 20 << 20
        one(FILL)  # until the receiver's window is closed and the sender's buffer full
        sock, seen = compare_with_ss(netns, one, "client")
        assert sock["tcp_info"]["acked_bytes"] > 20 << 20
        assert sock["send_queue_bytes"] > 100_000
        assert seen.keys() >= {
            "tcp_info.notsent_bytes",
            "tcp_info.delivery_rate_bytes_per_s",
            "tcp_info.busy_time_us",
            "tcp_info.rwnd_limited_us",
            "timer_expires_ms",
        }
        sock, seen = compare_with_ss(netns, one, "conn")
        assert sock["receive_queue_bytes"] > 100_000
        assert "tcp_info.rcv_rtt_us" in seen


def test_lossy_socket_agrees_with_ss(netns: NetNs) -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft (Debian package nftables)")
    with owner(netns, setup=PAIR + BULK) as one:
        netns.run(
            "nft",
            f"""
table ip tests {{
  chain in {{
    type filter hook input priority 0;
    tcp dport {one.port("server")} meta length > 1000 numgen inc mod 17 3 drop
  }}
}}
""",
        )
        assert one("transfer(6 << 20)") >= 6 << 20
        sock, seen = compare_with_ss(netns, one, "client")
        assert sock["tcp_info"]["total_retrans_packets"] > 0
        assert seen.keys() >= {"tcp_info.total_retrans_packets", "tcp_info.retrans_bytes"}
        _, seen = compare_with_ss(netns, one, "conn")
        assert "tcp_info.rcv_ooopack_packets" in seen
        document = inspect(one.at("client"), netns)
        info = document["data"]["socket"]["tcp_info"]
        percent = 100 * info["retrans_bytes"] / info["sent_bytes"]
        assert document["data"]["derived"]["retrans_percent"] == pytest.approx(percent)


# -- options -----------------------------------------------------------------------------------

SET_OPTIONS = """
s = client
s.setsockopt(6, socket.TCP_NODELAY, 1)
s.setsockopt(1, socket.SO_KEEPALIVE, 1)
s.setsockopt(6, socket.TCP_KEEPIDLE, 60)
s.setsockopt(6, socket.TCP_KEEPINTVL, 5)
s.setsockopt(6, socket.TCP_KEEPCNT, 3)
s.setsockopt(6, socket.TCP_USER_TIMEOUT, 30000)
s.setsockopt(6, socket.TCP_CONGESTION, b"reno")
s.setsockopt(1, socket.SO_LINGER, struct.pack("=ii", 1, 7))
s.setsockopt(1, socket.SO_SNDBUF, 50000)
s.setsockopt(1, socket.SO_RCVBUF, 1 << 30)
s.setsockopt(0, socket.IP_TOS, 0x10)
s.setsockopt(6, 25, 16384)  # TCP_NOTSENT_LOWAT
"""
_SET = {
    "TCP_NODELAY": True,
    "SO_KEEPALIVE": True,
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30000,
    "TCP_CONGESTION": "reno",
    "IP_TOS": 0x10,
    "TCP_NOTSENT_LOWAT": 16384,
    # tcp(7): TOS sets the priority as well.
    "SO_PRIORITY": 6,
}


def test_options_that_the_owner_set(netns: NetNs) -> None:
    algorithm = netns.run("cat", "/proc/sys/net/ipv4/tcp_congestion_control").stdout.strip()
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with owner(netns, setup=PAIR + SET_OPTIONS) as one:
        document = inspect(one.at("client"), netns)
        options = options_of(document)
        linger = {"enabled": True, "seconds": 7}
        expected = {**_SET, "SO_LINGER": linger, "SO_SNDBUF": 100_000, "SO_RCVBUF": 2 * limit}
        assert {name: options[name]["value"] for name in expected} == expected
        for name in _SET:
            marks = ["changed"] if (name, algorithm) != ("TCP_CONGESTION", "reno") else []
            assert options[name]["marks"] == marks, options[name]
        assert options["SO_SNDBUF"]["marks"] == ["pinned"]
        assert options["SO_RCVBUF"]["marks"] == ["pinned", "clamped"]
        assert set(options["SO_BUF_LOCK"]["value"]) == {"send", "receive"}
        assert marked(document) <= {*expected, "SO_BUF_LOCK"}
        assert options["TCP_KEEPIDLE"]["default"] == 7200
        # The other end of the same connection was left as it was.
        untouched = inspect(one.at("conn"), netns)
        assert marked(untouched) == {
            "SO_REUSEADDR"
        }  # from the listener, which has it from create_server()
        plain = tcptool("inspect", one.at("client"), netns=netns).lines
        [line] = [line for line in plain if line.startswith("options.tcp_keepidle_s ")]
        assert re.fullmatch(r"\S+ +60  # changed, default 2 h", line), line


def test_linger_and_ttl_are_marked_when_set(netns: NetNs) -> None:
    setup = "client.setsockopt(1, 13, struct.pack('=ii', 1, 7))\nclient.setsockopt(0, 2, 9)"
    with owner(netns, setup=PAIR + setup) as one:
        options = options_of(inspect(one.at("client"), netns))
        assert options["SO_LINGER"]["value"] == {"enabled": True, "seconds": 7}
        assert options["IP_TTL"]["value"] == 9
        assert options["SO_LINGER"]["marks"] == options["IP_TTL"]["marks"] == ["changed"]


def marked(document: Any) -> set[str]:
    return {name for name, option in options_of(document).items() if option["marks"]}


def test_what_the_kernel_sets_by_itself_is_not_marked(netns: NetNs) -> None:
    with owner(netns, setup=TWO_FAMILIES) as one:
        for name in ("client", "client6", "client46"):
            assert marked(inspect(one.at(name), netns)) == set(), name
        # bind() to a specific address keeps the socket from IPv4.
        assert options_of(inspect(one.at("server6"), netns))["IPV6_V6ONLY"]["value"] is True
        assert marked(inspect(one.at("conn6"), netns)) == {"SO_REUSEADDR"}


def test_listener_shows_the_options_that_its_children_inherit(netns: NetNs) -> None:
    with owner(netns, setup=PAIR + "server.setsockopt(6, 9, 5)\nserver.setsockopt(6, 1, 1)") as one:
        options = options_of(inspect(one.at("server"), netns))
        assert (options["TCP_DEFER_ACCEPT"]["value"] >= 5, options["TCP_NODELAY"]["value"]) == (
            True,
            True,
        )
        assert options["SO_ACCEPTCONN"]["value"] is True


# -- naming a socket ---------------------------------------------------------------------------

TWO_FAMILIES = (
    PAIR
    + """
server6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
client6 = socket.create_connection(server6.getsockname()[:2])
conn6, _ = server6.accept()
both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
client46 = socket.create_connection(("127.0.0.1", both.getsockname()[1]))
conn46, _ = both.accept()
lonely = socket.create_server(("127.0.0.1", 0))
"""
)

WAYS: dict[str, Callable[[Owner, str], str]] = {
    "PID:FD": lambda one, name: one.at(name),
    "sk:COOKIE": lambda one, name: f"sk:{one.cookie(name)}",
    "4-tuple": lambda one, name: one.ends(name),
    "filter": lambda one, name: (
        f"sport = :{one.port(name)} and dport = :{one(f'{name}.getpeername()[1]')}"
    ),
    "filter by cookie": lambda one, name: f"cookie = {one.cookie(name)}",
    "filter by inode": lambda one, name: f"inode = {one(f'os.fstat({name}.fileno()).st_ino')}",
}


def test_every_way_to_name_a_socket_leads_to_it(netns: NetNs) -> None:
    with owner(netns, setup=TWO_FAMILIES) as one:
        for name, ways in (("client", {*WAYS}), ("conn6", {"4-tuple"}), ("conn46", {"4-tuple"})):
            for way in sorted(ways):
                run = tcptool("inspect", WAYS[way](one, name), "--json", netns=netns)
                assert run.status == 0, (way, name, run)
                assert run.data["socket"]["cookie"] == one.cookie(name), (way, name)
                assert run.data["options"], (way, name)
                assert run.data["holders"][0]["pid"] == one.pid, (way, name)
        # From the IPv4 side the same connection has the mapped address of the other.
        port, peer = one.port("conn46"), one("conn46.getpeername()[1]")
        target = f"127.0.0.1:{port}-127.0.0.1:{peer}"
        assert inspect(target, netns)["data"]["socket"]["cookie"] == one.cookie("conn46")
        # A port, or an end, that only one socket has.
        for target in (f":{one.port('lonely')}", f"127.0.0.1:{one.port('lonely')}"):
            assert inspect(target, netns)["data"]["socket"]["cookie"] == one.cookie("lonely")
    with owner(netns, setup="s = socket.create_server(('127.0.0.1', 0))") as one:
        assert inspect(one.pid, netns)["data"]["socket"]["cookie"] == one.cookie("s")


BOUND_TO_DEVICE = """
server = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
client.setsockopt(1, socket.SO_BINDTODEVICE, b"lo")
client.connect(server.getsockname())
conn, _ = server.accept()
"""
LINK_LOCAL = """
server = socket.socket(socket.AF_INET6)
server.bind(("fe80::1", 0, 0, 1))
server.listen()
client = socket.socket(socket.AF_INET6)
client.connect(server.getsockname())
conn, _ = server.accept()
"""


def test_addresses_name_a_socket_of_one_interface(netns: NetNs) -> None:
    with owner(netns, setup=BOUND_TO_DEVICE) as one:
        for name, other in (("client", "conn"), ("conn", "client")):
            data = inspect(one.ends(name), netns)["data"]
            assert data["socket"]["cookie"] == one.cookie(name)
            assert data["other_end"]["socket"]["cookie"] == one.cookie(other)
    netns.run("ip", "address", "add", "fe80::1/64", "dev", "lo", "nodad")
    with owner(netns, setup=LINK_LOCAL) as one:
        port, peer = one.port("client"), one.port("server")
        for zone in ("", "%lo"):
            target = f"[fe80::1{zone}]:{port}-[fe80::1{zone}]:{peer}"
            data = inspect(target, netns)["data"]
            assert data["socket"]["cookie"] == one.cookie("client")
            assert data["other_end"]["socket"]["cookie"] == one.cookie("conn")


def test_words_of_a_filter_need_no_quotes(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        words = ["state", "listen", "and", f"sport = :{one.port('server')}"]
        run = tcptool("inspect", *words, "--json", netns=netns)
        assert run.data["socket"]["cookie"] == one.cookie("server")


def test_ambiguous_target_lists_the_candidates(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        port = one.port("server")
        run = tcptool("inspect", f":{port}", netns=netns)
        message = run.failed(2, "3 sockets match", f"sk:{one.cookie('conn')}", "Use PID:FD")
        candidates = re.findall(r"sk:[0-9a-f]+", message)
        assert {f"sk:{one.cookie(name)}" for name in ("server", "client", "conn")} <= {*candidates}
        # What is listed can be typed.
        assert tcptool("inspect", candidates[0], netns=netns).status == 0
        message = tcptool("inspect", one.pid, netns=netns).failed(2, "3 sockets match")
        assert {one.at(name) for name in ("server", "client", "conn")} <= {*message.split()}
        run = tcptool("inspect", f":{port}", "--json", netns=netns)
        error = json.loads(run.err)
        assert (run.status, run.out, error["error"]["code"]) == (2, "", "ambiguous")
        one("more = [socket.create_connection(server.getsockname()) for _ in range(10)]")
        tcptool("inspect", f":{port}", netns=netns).failed(2, "23 sockets match", "... and 13 more")


# -- unusual sockets ---------------------------------------------------------------------------


def test_unconnected_socket(netns: NetNs) -> None:
    setup = "fresh = socket.socket()\nfresh.setsockopt(6, 1, 1)\n"
    setup += "bound = socket.socket(socket.AF_INET6)\nbound.bind(('::1', 0))"
    with owner(netns, setup=setup) as one:
        document = inspect(one.at("fresh"), netns)
        sock = document["data"]["socket"]
        assert (sock["state"], sock["local"]["port"], sock["peer"]["port"]) == ("close", 0, 0)
        assert sock["cookie"] == one.cookie("fresh")
        assert document["missing"] == []  # the mark came with the options
        assert options_of(document)["TCP_NODELAY"]["marks"] == ["changed"]
        assert document["data"]["holders"][0]["pid"] == one.pid
        assert document["data"]["other_end"] is None
        sock = inspect(one.at("bound"), netns)["data"]["socket"]
        assert sock["local"] == {"address": "::1", "port": one.port("bound")}
        assert tcptool("inspect", one.at("bound"), netns=netns).status == 0


GROUP = """
def member(port):
    s = socket.socket()
    s.setsockopt(1, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", port))
    s.listen(10)
    return s
first = member(0)
second, third = (member(first.getsockname()[1]) for _ in range(2))
"""


def test_each_member_of_a_reuseport_group(netns: NetNs) -> None:
    with owner(netns, setup=GROUP) as one:
        for name in ("first", "second", "third"):
            document = inspect(one.at(name), netns)
            assert document["data"]["socket"]["cookie"] == one.cookie(name)
            assert document["data"]["socket"]["state"] == "listen"
            assert document["data"]["socket"]["backlog"] == 10  # which only sock_diag tells
            assert options_of(document)["SO_REUSEPORT"]["marks"] == ["changed"]


def test_other_end_is_found_with_its_holders(netns: NetNs) -> None:
    with owner(netns, setup=TWO_FAMILIES) as one:
        for name, other in (("client", "conn"), ("conn6", "client6"), ("client46", "conn46")):
            end = inspect(one.at(name), netns)["data"]["other_end"]
            assert end["socket"]["cookie"] == one.cookie(other), name
            assert [(h["pid"], h["fd"]) for h in end["holders"]] == [
                (one.pid, one(f"{other}.fileno()"))
            ]
        assert inspect(one.at("server"), netns)["data"]["other_end"] is None
        plain = tcptool("inspect", one.at("client"), netns=netns).lines
        assert any(line.startswith("other_end.held_by ") for line in plain)


def test_time_wait_has_neither_descriptor_nor_tcp_info(netns: NetNs) -> None:
    closing = "ends = [s.getsockname() for s in (client, conn)]\nclient.close()\nconn.close()\n"
    with owner(netns, setup=PAIR + closing) as one:
        (_, port), (_, peer) = one("ends")
        target = f"127.0.0.1:{port}-127.0.0.1:{peer}"
        wait_until(lambda: any("TIME-WAIT" in line for line in ss(netns, "-tan")))
        document = inspect(target, netns)
        data = document["data"]
        assert (data["socket"]["state"], data["socket"]["timer"]) == ("time-wait", "time-wait")
        assert (data["socket"]["tcp_info"], data["socket"]["inode"]) == (None, None)
        assert (data["holders"], data["options"], document["missing"]) == ([], None, [])
        again = inspect(f"sk:{data['socket']['cookie']}", netns)["data"]["socket"]
        assert again["local"] == data["socket"]["local"]
        assert tcptool("inspect", target, netns=netns).status == 0


def test_connection_in_an_accept_queue_has_no_holder_yet(netns: NetNs) -> None:
    with owner(
        netns, setup=PAIR + "queued = socket.create_connection(server.getsockname())"
    ) as one:
        here, there = one.ends("queued").split("-")
        document = inspect(f"{there}-{here}", netns)
        assert document["data"]["socket"]["inode"] == 0
        assert document["data"]["socket"]["tcp_info"]["rtt_us"] > 0
        assert (document["data"]["holders"], document["data"]["options"]) == ([], None)
        [missing] = document["missing"]
        assert (missing["what"], "accept queue" in missing["needs"]) == ("socket options", True)


def test_mptcp_connection_shows_its_subflow(netns: NetNs) -> None:
    setup = """
server = socket.socket(2, 1, 262)
server.bind(("127.0.0.1", 0))
server.listen()
client = socket.socket(2, 1, 262)
client.connect(server.getsockname())
conn, _ = server.accept()
client.send(b"hello")
conn.recv(5)
"""
    if netns.run("cat", "/proc/sys/net/mptcp/enabled", check=False).stdout != "1\n":
        return  # a kernel without MPTCP has nothing to show
    with owner(netns, setup=setup) as one:
        data = inspect(one.at("client"), netns)["data"]
        assert (data["socket"]["protocol"], data["socket"]["tcp_info"]) == ("mptcp", None)
        assert data["socket"]["mptcp_info"]["sent_bytes"] == 5
        [subflow] = data["subflows"]
        assert (subflow["protocol"], subflow["ulp"]) == ("tcp", "mptcp")
        assert subflow["local"] == data["socket"]["local"]
        assert options_of({"data": data})["SO_PROTOCOL"]["value"] == "mptcp"
        for name in ("server", "client", "conn"):
            assert marked(inspect(one.at(name), netns)) == set(), name
        one("client.setsockopt(6, socket.TCP_NODELAY, 1)")
        assert marked(inspect(one.at("client"), netns)) == {"TCP_NODELAY"}


def test_closed_connection_keeps_its_counters(netns: NetNs) -> None:
    reset = (
        "conn.setsockopt(1, 13, struct.pack('=ii', 1, 0))\nclient.send(b'12345')\nconn.recv(5)\n"
    )
    with owner(netns, setup=PAIR + reset + "conn.close()") as one:
        settled(one, "client", 7)
        sock = inspect(one.at("client"), netns)["data"]["socket"]
        assert (sock["state"], sock["tcp_info"]["sent_bytes"]) == ("close", 5)


def test_explanations_follow_the_values(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        plain = tcptool("inspect", one.at("client"), netns=netns).lines
        explained = tcptool("inspect", one.at("client"), "--explain", netns=netns).lines
        [place] = [i for i, line in enumerate(explained) if re.search(r"path\.rtt_us ", line)]
        assert explained[place + 1].startswith("    ")
        assert len(explained) > 1.5 * len(plain)


def test_ordinary_user_sees_all_but_the_options(netns: NetNs) -> None:
    with owner(netns, setup=PAIR) as one:
        as_root = inspect(one.ends("client"), netns)["data"]
        document = inspect(one.ends("client"), netns, uid=NOBODY)
        data = document["data"]
        assert (data["holders"], data["options"]) == ([], None)
        for key in ("cookie", "local", "uid", "memory", "congestion"):
            assert data["socket"][key] == as_root["socket"][key], key
        assert data["socket"]["tcp_info"]["rtt_us"] == as_root["socket"]["tcp_info"]["rtt_us"]
        needs = {each["what"]: each["needs"] for each in document["missing"]}
        assert "CAP_SYS_PTRACE" in needs["socket options"]
        assert "CAP_NET_ADMIN" in needs["mark (SO_MARK)"]
        plain = tcptool("inspect", one.ends("client"), netns=netns, uid=NOBODY).lines
        assert any("CAP_SYS_PTRACE" in line for line in plain if line.startswith("missing."))
