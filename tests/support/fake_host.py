"""A whole host for `doctor`, as files under a fake /proc and /sys and as netlink messages.

Counters are those of the catalog; ``Host.grow`` lets some of them grow while `doctor` waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tcptool.catalog import route
from tcptool.catalog.counters import COUNTERS
from tcptool.catalog.sysctls import SYSCTLS, path_of
from tests.support.fake_kernel import FakeKernel
from tests.support.route import link_message, qdisc_message

SYSCTL_TEXTS = {name: one.default for name, one in SYSCTLS.items() if one.default} | {
    "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
    "net.ipv4.tcp_wmem": "4096\t16384\t4194304",
    "net.core.rmem_max": "212992",
    "net.core.wmem_max": "212992",
    "net.ipv4.tcp_mem": "22416\t29888\t44832",
    "net.ipv4.tcp_congestion_control": "cubic",
    "net.ipv4.tcp_available_congestion_control": "reno cubic",
    "net.ipv4.tcp_allowed_congestion_control": "reno cubic",
    "net.core.default_qdisc": "fq_codel",
    "net.ipv4.tcp_max_syn_backlog": "512",
    "net.ipv4.ip_local_port_range": "32768\t60999",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.tcp_max_tw_buckets": "16384",
    "net.ipv4.tcp_max_orphans": "16384",
    "fs.file-nr": "500\t0\t100000",
}
ABSENT = ("net.ipv4.tcp_tw_recycle", "net.netfilter.nf_conntrack_tcp_timeout_established")
LIMITS = (
    "Limit                     Soft Limit           Hard Limit           Units     \n"
    "Max open files            {soft:<20} {hard:<20} files     \n"
)


class Host:
    """A healthy host; change what should be ill."""

    def __init__(self, root: Path) -> None:
        self.kernel = FakeKernel(root)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.sockstat = {"orphan": 1, "tw": 5, "mem": 100}
        self.growth: Mapping[str, int] = {}
        self.ticks = 1000
        for name, text in SYSCTL_TEXTS.items():
            if name not in ABSENT:
                self.sysctl(name, text)
        self.write_counters()
        self.kernel.on_wait = lambda _: self._time_passes()
        tree = self.kernel.tree
        tree.write("meminfo", "MemTotal:        8388608 kB\n")
        tree.write("loadavg", "0.10 0.10 0.10 1/100 1234\n")
        tree.write(
            "thread-self/net/route",
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
            "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
        )
        flags = route.IFF_UP | route.IFF_LOOPBACK
        self.kernel.links = [
            link_message("lo", 1, flags=flags, address=bytes(6), mtu=65_536),
            link_message("eth0", 2),
        ]
        self.kernel.qdiscs = [qdisc_message(2, "fq_codel")]
        self.device("eth0", ifindex="2", address="02:00:00:00:00:01", duplex="full")

    def sysctl(self, name: str, text: str) -> None:
        """Write a sysctl."""
        self.kernel.tree.write(path_of(name), f"{text}\n")

    def device(self, name: str, *, queues: int = 2, **attributes: str) -> None:
        """What /sys shows of a device."""
        folder = Path(self.kernel.sys.root) / "class" / "net" / name
        for queue in range(queues):
            (folder / "queues" / f"rx-{queue}").mkdir(parents=True)
        for attribute, text in attributes.items():
            (folder / attribute).write_text(f"{text}\n")

    def process(self, pid: int, name: str, sockets: Mapping[int, int], soft: int = 1024) -> None:
        """A process with descriptors and limits."""
        self.kernel.tree.add(pid, name, sockets=sockets)
        self.kernel.tree.write(f"{pid}/limits", LIMITS.format(soft=soft, hard=4096))

    def grow(self, **growth: int) -> None:
        """Let counters grow with the first step of the wait."""
        self.growth = growth

    def write_counters(self) -> None:
        """Write the files of counters as they stand."""
        lines: dict[str, dict[str, int]] = defaultdict(dict)
        for name, value in self.counters.items():
            file, protocol, key = COUNTERS[name].place.split()
            lines[f"{file} {protocol}"][key] = value
        texts: dict[str, str] = defaultdict(str)
        for place, values in lines.items():
            file, protocol = place.split()
            texts[file] += f"{protocol}: {' '.join(values)}\n"
            texts[file] += f"{protocol}: {' '.join(map(str, values.values()))}\n"
        for file, text in texts.items():
            self.kernel.tree.write(file.replace("/proc/net", "thread-self/net"), text)
        numbers = " ".join(f"{key} {value}" for key, value in self.sockstat.items())
        self.kernel.tree.write("thread-self/net/sockstat", f"TCP: inuse 5 {numbers}\n")
        softnet = "000003e8 00000000 00000000 " + "00000000 " * 9 + "0000000{} 00000000 00000000\n"
        self.kernel.tree.write(
            "thread-self/net/softnet_stat", softnet.format(0) + softnet.format(1)
        )
        cpu = f"{self.ticks} 0 0 0 0 0 0 0 0 0\n"
        self.kernel.tree.write("stat", f"cpu  {cpu}cpu0 {cpu}cpu1 {cpu}")

    def _time_passes(self) -> None:
        for name, growth in self.growth.items():
            self.counters[name] += growth
        self.growth = {}
        self.ticks += 25
        self.write_counters()
