"""The two readings as checks ask for them, and the verdicts that they give.

What is not there raises ``Lacks``: the check is then skipped with that reason, so a check reads
as if everything were there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from tcptool.analysis.sysctls import keeping, setting
from tcptool.catalog.counters import COUNTERS
from tcptool.catalog.severity import Severity
from tcptool.catalog.sysctls import SYSCTLS, path_of
from tcptool.model.doctor import Evidence, Remedy
from tcptool.model.host import HostSocket, HostState
from tcptool.units import Unit, human

SHOWN: Final = 3
"""So many of the worst sockets or processes are named; `list` shows them all."""

_NETNS_FOLDER: Final = "/run/netns"


class Lacks(Exception):
    """What a check needs is not there; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says.  ``myths`` are ids of catalog/myths.py."""

    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...] = ()
    remedy: Remedy | None = None
    myths: tuple[str, ...] = ()


def ok(summary: str, *evidence: Evidence) -> Verdict:
    """Nothing to be done."""
    return Verdict(Severity.OK, summary, evidence)


class Growth(NamedTuple):
    """A counter now, and by how much it grew between the readings."""

    name: str
    total: int
    grown: int


class Facts:
    """Everything that was read, by name."""

    def __init__(self, state: HostState) -> None:
        self.state = state

    # -- counters --------------------------------------------------------------------------

    def counter(self, name: str) -> Growth:
        """A counter of the catalog.  Raises Lacks; also where it went back."""
        place = COUNTERS[name].place
        before, after = (
            reading.counters.get(name) for reading in (self.state.before, self.state.after)
        )
        if before is None or after is None:
            raise Lacks(self.why(place.split()[0], f"no counter {name}"))
        if after < before:
            raise Lacks(f"{name} went back from {before} to {after}")
        return Growth(name, after, after - before)

    def counters(self, *names: str) -> list[Growth]:
        """Those of the counters that are there.  Raises Lacks where none is."""
        found = []
        reasons = []
        for name in names:
            try:
                found.append(self.counter(name))
            except Lacks as exc:
                reasons.append(str(exc))
        if not found:
            raise Lacks(reasons[0])
        return found

    def shown(self, *growths: Growth) -> tuple[Evidence, ...]:
        """The counters as evidence: the growth, and the total as context."""
        return tuple(
            self.counted(COUNTERS[one.name].place, one.total, one.grown) for one in growths
        )

    def counted(self, where: str, total: int, grown: int) -> Evidence:
        """A count as evidence: the growth, and the total as context."""
        return Evidence(where, f"{total} in all, {self.in_window(grown)}", total, grown)

    def in_window(self, count: int) -> str:
        """``12 in 5 s``."""
        return f"{count} in {self.window()}"

    def window(self) -> str:
        """The time between the readings."""
        return human(float(f"{self.state.elapsed_s:.3g}"), Unit.SECONDS)

    def sockstat(self, name: str) -> int:
        """A number of /proc/net/sockstat now, as ``TCP tw``.  Raises Lacks."""
        found = self.state.after.sockstat.get(name)
        if found is None:
            raise Lacks(self.why("/proc/net/sockstat", f"no {name}"))
        return found

    # -- settings --------------------------------------------------------------------------

    def has(self, sysctl: str) -> bool:
        """Whether this kernel has the sysctl, and it could be read."""
        return sysctl in self.state.sysctls

    def text(self, sysctl: str) -> str:
        """The words of a sysctl.  Raises Lacks."""
        if sysctl not in self.state.sysctls:
            reason = self.why(f"/proc/{path_of(sysctl)}", "it is not there")
            where = "; it is in the first network namespace only" * SYSCTLS[sysctl].host_wide
            raise Lacks(f"no {sysctl}: {reason}{where}")
        return self.state.sysctls[sysctl]

    def numbers(self, sysctl: str) -> tuple[int, ...]:
        """The numbers of a sysctl.  Raises Lacks."""
        text = self.text(sysctl)
        try:
            return tuple(int(word) for word in text.split())
        except ValueError:
            raise Lacks(f"{sysctl} is {text!r}, not numbers") from None

    def number(self, sysctl: str, place: int = 0) -> int:
        """One number of a sysctl.  Raises Lacks."""
        numbers = self.numbers(sysctl)
        if place >= len(numbers):
            raise Lacks(f"{sysctl} is {self.text(sysctl)!r}: it has no number {place + 1}")
        return numbers[place]

    def setting(self, *sysctls: str) -> tuple[Evidence, ...]:
        """The sysctls as evidence, those that are there."""
        return tuple(
            Evidence(f"/proc/{path_of(name)}", self.text(name))
            for name in sysctls
            if self.has(name)
        )

    # -- sockets ---------------------------------------------------------------------------

    def sockets(self, *states: str) -> list[HostSocket]:
        """The sockets in one of these states.  Raises Lacks where none could be asked for."""
        if "sockets" in self.state.lacks:
            raise Lacks(f"no sockets: {self.state.lacks['sockets']}")
        return [one for one in self.state.sockets if one.state in states]

    def connections(self) -> list[HostSocket]:
        """Established sockets with their tcp_info.  Raises Lacks where the kernel tells none."""
        if "tcp_info" in self.state.lacks:
            raise Lacks(f"no tcp_info: {self.state.lacks['tcp_info']}")
        return self.sockets("established")

    def name(self, sock: HostSocket) -> str:
        """A socket by its ends and its holder."""
        local = _endpoint(sock.local_address, sock.local_port)
        ends = local
        if sock.state != "listen":
            ends = f"{local} - {_endpoint(sock.peer_address, sock.peer_port)}"
        holder = self.state.holders.get(sock.inode or 0)
        return f"{ends} ({holder[1]} {holder[0]})" if holder else ends

    def process(self, sock: HostSocket) -> str:
        """Name and pid of the holder of a socket, or that it is not known."""
        holder = self.state.holders.get(sock.inode or 0)
        return f"{holder[1]} ({holder[0].partition(':')[0]})" if holder else "an unknown process"

    # -- what to do ------------------------------------------------------------------------

    def why(self, source: str, otherwise: str) -> str:
        """The reason why a source could not be read."""
        return self.state.lacks.get(source, otherwise)

    def inside(self, command: str) -> str:
        """A command that only looks, in the network namespace that was asked about."""
        inside = self._inside()
        return f"sudo {inside}{command}" if inside else command

    def _inside(self) -> str:
        """The words that enter that network namespace, which takes root."""
        netns = self.state.netns
        if netns is None:
            return ""
        path = netns if "/" in netns else f"{_NETNS_FOLDER}/{netns}"
        if netns.isdecimal():
            path = f"/proc/{netns}/ns/net"
        return f"nsenter --net={shlex.quote(path)} "

    def tcptool(self, *words: str) -> str:
        """A command line of tcptool that looks into the same network namespace."""
        command, *rest = words
        where = [] if self.state.netns is None else ["--netns", self.state.netns]
        return " ".join(["tcptool", command, *map(shlex.quote, [*where, *rest])])

    def apply(self, sock: HostSocket, change: str) -> str:
        """A command line that changes one socket: by its holder, or else by cookie or ends."""
        holder = self.state.holders.get(sock.inode or 0)
        if holder is not None:
            return f"sudo tcptool apply {holder[0]} {change}"
        target = f"sk:{sock.cookie}"  # a port may have listeners on other addresses
        if sock.state != "listen":
            local = _endpoint(sock.local_address, sock.local_port)
            target = f"{local}-{_endpoint(sock.peer_address, sock.peer_port)}"
        return f"sudo {self.tcptool('apply', target, change)}"

    def set(self, values: dict[str, str], advice: str, risk: str) -> Remedy:
        """Set sysctls that are there; undo puts back what is there now."""
        old = {name: self.text(name) for name in values}
        host_wide = all(SYSCTLS[name].host_wide for name in values)
        inside = "" if host_wide else self._inside()
        return Remedy(
            advice=advice,
            command=setting(values, inside),
            persistence=keeping(values, elsewhere=bool(inside)),
            risk=risk,
            undo=setting(old, inside),
        )

    @staticmethod
    def for_whom(sysctls: Iterable[str]) -> str:
        """That a change reaches new connections only, of those sysctls for which that is so."""
        names = list(sysctls)
        new = [name for name in names if SYSCTLS[name].new_only]
        if not new:
            return ""
        short = words(name.rpartition(".")[2] for name in new)
        return "; new connections only" + f" ({short})" * (len(new) < len(names))

    def past(self, what: str, *evidence: Evidence) -> Verdict:
        """Harm that has been, which a total cannot date, and that is not going on."""
        remedy = Remedy(
            advice="Nothing to do now: look again while it happens.",
            command=self.tcptool("doctor", "--for", "60s"),
        )
        return Verdict(
            Severity.INFO, f"{what} in the past, none in {self.window()}", evidence, remedy
        )


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_loopback(sock: HostSocket) -> bool:
    """Whether both ends are on this host."""
    peer = sock.peer_address
    return peer.startswith("127.") or peer in ("::1", sock.local_address)


def share_percent(part: float, whole: float) -> float:
    """A part in percent of the whole; 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def percent(value: float) -> str:
    """A share as a person reads it."""
    return human(value, Unit.PERCENT)


def size(value: float) -> str:
    """Bytes as a person reads them."""
    return human(value, Unit.BYTES)


def count(number: int, what: str) -> str:
    """``1 socket``, ``2 sockets``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def words(items: Iterable[str]) -> str:
    """``a, b``, for a summary."""
    return ", ".join(items)
