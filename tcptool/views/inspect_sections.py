"""An inspection as titled sections of named values: what the plain and the terminal view share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from tcptool.analysis.option_marks import MARK_MEANINGS
from tcptool.catalog import derived as derived_facts
from tcptool.catalog.attributes import BbrInfo, DctcpInfo, MptcpInfo, SocketMemory, VegasInfo
from tcptool.catalog.options import BY_NAME
from tcptool.catalog.registry import members
from tcptool.catalog.tcp_info import GROUPS, TcpInfo
from tcptool.model.inspection import HolderRecord, Inspection, InspectReport, OptionReading
from tcptool.model.sock import Socket
from tcptool.units import Unit, human, split_unit
from tcptool.views.clean import clean

ABSENT: Final = "-"
EMPTY: Final = "none"


@dataclass(frozen=True, slots=True)
class Line:
    """One value.  ``raw`` is for pipes, in the unit of ``name``; ``shown`` is for people.

    ``note`` stands beside the value, ``doc`` below it when explanations are asked for.
    ``alarming`` values are worth a second look.
    """

    name: str
    raw: str
    shown: str
    note: str = ""
    doc: str = ""
    alarming: bool = False
    title: str = ""

    @property
    def label(self) -> str:
        """The name for people: an option's own, or without the unit, which the value has."""
        return self.title or split_unit(self.name)[0].replace("_", " ")


@dataclass(frozen=True, slots=True)
class Section:
    """Values that belong together."""

    name: str
    title: str
    lines: tuple[Line, ...]


def sections(report: InspectReport) -> Iterator[Section]:
    """Every section that has something to say, in reading order."""
    inspection = report.inspection
    sock = inspection.socket
    yield Section("socket", "Socket", tuple(_identity(inspection)))
    yield from _filled(Section("memory", "Queues and memory", tuple(_queues(sock))))
    if sock.tcp_info is not None:
        for group, title in GROUPS.items():
            lines = list(_info_group(sock.tcp_info, group))
            if group == "limits":
                lines += _derived(inspection)
            if group == "ecn" and inspection.accecn is not None:
                lines += _record("accecn", inspection.accecn)
            yield from _filled(Section(group, title, tuple(lines)))
    yield from _filled(Section("congestion", "Congestion control", tuple(_congestion(sock))))
    if sock.mptcp_info is not None:
        yield Section("mptcp", "MPTCP", tuple(_structure(sock.mptcp_info, MptcpInfo)))
    for number, subflow in enumerate(inspection.subflows):
        yield Section(f"subflow{number}", f"Subflow {number}", tuple(_end(subflow)))
    if inspection.other_end is not None:
        other = inspection.other_end
        lines = [_text("held_by", _holders(other.holders)), *_end(other.socket)]
        yield Section("other_end", "The other end, on this host", tuple(lines))
    if inspection.options is not None:
        yield Section("options", "Socket options", tuple(map(_option, inspection.options)))
    if report.missing:
        lines = [
            Line(f"missing_{i}", m.what, m.what, note=f"{m.why}; needs {m.needs}")
            for i, m in enumerate(report.missing)
        ]
        yield Section("missing", "Not shown", tuple(lines))


def _filled(section: Section) -> Iterator[Section]:
    if any(line.raw != ABSENT for line in section.lines):
        yield section


def _text(name: str, value: str | int | None, doc: str = "", note: str = "") -> Line:
    shown = ABSENT if value is None or value == "" else clean(str(value))
    return Line(name, shown, shown, note, doc)


def _value(name: str, value: Any, unit: Unit, doc: str = "", *, alarming: bool = False) -> Line:
    if value is None:
        return Line(name, ABSENT, ABSENT, doc=doc)
    if isinstance(value, str | bool | tuple | dict):
        text = value_words(value)
        return Line(name, text, text, doc=doc, alarming=alarming)
    raw = f"{value:.6g}" if isinstance(value, float) else str(value)
    return Line(name, raw, human(value, unit), doc=doc, alarming=alarming)


def value_words(value: Any) -> str:
    """Text for a value that is no number; ``none`` for one that is there but empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return clean(",".join(map(str, value))) or EMPTY
    if isinstance(value, dict):
        return ",".join(f"{key}={value_words(item)}" for key, item in value.items())
    text = clean(str(value))
    return EMPTY if text in ("", "hex:") else text


def _identity(inspection: Inspection) -> Iterator[Line]:
    sock = inspection.socket
    yield _text("state", sock.state)
    yield _text("local", str(sock.local))
    yield _text("peer", str(sock.peer))
    yield _text("protocol", sock.protocol, note=sock.family)
    yield _text("held_by", _holders(inspection.holders))
    yield _text(
        "user", inspection.user or sock.uid, note="" if sock.uid is None else f"uid {sock.uid}"
    )
    yield _text("cgroup", inspection.cgroup)
    yield _text("netns_inode", inspection.netns_inode)
    yield _text("cookie", f"sk:{sock.cookie}" if sock.cookie else None)
    yield _text("inode", sock.inode)
    if sock.ifindex:
        yield _text("ifindex", sock.ifindex)
    yield _text("mark", sock.mark)
    yield _text("tos", sock.tos)
    if sock.tclass is not None:
        yield _text("tclass", sock.tclass)
    if sock.v6only is not None:
        yield _text("v6only", str(sock.v6only).lower())
    if sock.ulp is not None:
        yield _text("ulp", sock.ulp)
    retransmits = f"{sock.timer_retransmits} sent" if sock.timer_retransmits else ""
    yield _text("timer", sock.timer, note=retransmits)
    if sock.timer_expires_ms is not None:
        yield _value("timer_expires_ms", sock.timer_expires_ms, Unit.MILLISECONDS)
    if sock.shutdown:
        yield _value("shutdown", sock.shutdown, Unit.COUNT)


def _holders(holders: tuple[HolderRecord, ...]) -> str:
    return ", ".join(f"{h.pid}:{h.fd} ({h.process})" for h in holders)


def _queues(sock: Socket) -> Iterator[Line]:
    if sock.state == "listen":
        over = (sock.accept_queue or 0) > (sock.backlog or 0)
        yield _value(
            "accept_queue",
            sock.accept_queue,
            Unit.COUNT,
            _doc_of(derived_facts.accept_queue),
            alarming=over,
        )
        yield _value("backlog", sock.backlog, Unit.COUNT, _doc_of(derived_facts.backlog))
    else:
        yield _value(
            "receive_queue_bytes",
            sock.receive_queue_bytes,
            Unit.BYTES,
            _doc_of(derived_facts.receive_queue_bytes),
        )
        yield _value(
            "send_queue_bytes",
            sock.send_queue_bytes,
            Unit.BYTES,
            _doc_of(derived_facts.send_queue_bytes),
        )
    if sock.memory is not None:
        yield from _structure(sock.memory, SocketMemory)


def _structure(record: Any, record_type: type) -> Iterator[Line]:
    for name, about in members(record_type).items():
        value = getattr(record, name)
        yield _value(
            name,
            value,
            about.unit,
            _full_doc(about.doc, about.pitfall),
            alarming=name == "drops" and bool(value),
        )


# Non-zero values of these say that something went wrong, now or lately.
_ALARMING: Final = frozenset(
    {"retransmits", "probes", "backoff", "lost_packets", "retrans_packets", "total_rto"}
)


def _info_group(info: TcpInfo, group: str) -> Iterator[Line]:
    for name, about in members(TcpInfo).items():
        if about.group == group and name != "state":
            value = getattr(info, name)
            alarming = (name in _ALARMING and bool(value)) or ((name, value) in _ALARMING_VALUES)
            yield _value(
                name, value, about.unit, _full_doc(about.doc, about.pitfall), alarming=alarming
            )


_ALARMING_VALUES: Final = frozenset(
    {("snd_wnd_bytes", 0), ("ca_state", "loss"), ("ca_state", "recovery")}
)


def _derived(inspection: Inspection) -> list[Line]:
    docs = {
        "rwnd_limited_percent": "rwnd_limited as a share of busy_time",
        "sndbuf_limited_percent": "sndbuf_limited as a share of busy_time",
    }
    lines = []
    for f in fields(inspection.derived):
        function = getattr(derived_facts, f.name, None)
        doc = docs.get(f.name) or _doc_of(function)
        lines.append(
            _value(f.name, getattr(inspection.derived, f.name), split_unit(f.name)[1], doc)
        )
    return lines


def _record(prefix: str, record: Any) -> list[Line]:
    return [
        _value(f"{prefix}_{f.name}", getattr(record, f.name), split_unit(f.name)[1])
        for f in fields(record)
    ]


def _congestion(sock: Socket) -> Iterator[Line]:
    congestion = sock.congestion
    if congestion is None:
        return
    yield _text("algorithm", congestion.name)
    if congestion.bbr is not None:
        yield _value(
            "bbr_bandwidth_bytes_per_s",
            congestion.bbr_bandwidth_bytes_per_s,
            Unit.BYTES_PER_SECOND,
            "bandwidth of the path as bbr estimates it",
        )
        for line in _structure(congestion.bbr, BbrInfo):
            if line.name not in ("bw_lo", "bw_hi"):
                yield line
    if congestion.dctcp is not None:
        yield from _structure(congestion.dctcp, DctcpInfo)
    if congestion.vegas is not None:
        yield from _structure(congestion.vegas, VegasInfo)


def _option(reading: OptionReading) -> Line:
    option = BY_NAME[reading.name]
    value, unit = reading.value, Unit(reading.unit)
    line = _value(option.key, value, unit)
    notes = list(reading.marks)
    if reading.marks and reading.default is not None:
        notes.append(f"default {_value('', reading.default, unit).shown}")
    marks_doc = " ".join(f"{mark}: {MARK_MEANINGS[mark]}." for mark in reading.marks)
    doc = " ".join(filter(None, (option.doc, option.pitfall, marks_doc)))
    alarming = bool(reading.marks)
    return Line(line.name, line.raw, line.shown, ", ".join(notes), doc, alarming, reading.name)


def _end(sock: Socket) -> Iterator[Line]:
    """The other end, or a subflow, in short."""
    yield _text("state", sock.state)
    yield _text("local", str(sock.local))
    yield _text("peer", str(sock.peer))
    yield _text("cookie", f"sk:{sock.cookie}" if sock.cookie else None)
    yield _value("receive_queue_bytes", sock.receive_queue_bytes, Unit.BYTES)
    yield _value("send_queue_bytes", sock.send_queue_bytes, Unit.BYTES)
    if sock.tcp_info is not None:
        for name in ("rtt_us", "snd_cwnd_packets", "snd_wnd_bytes", "total_retrans_packets"):
            yield _value(name, getattr(sock.tcp_info, name), split_unit(name)[1])


def _doc_of(function: Any) -> str:
    return (getattr(function, "__doc__", "") or "").partition("\n")[0]


def _full_doc(doc: str, pitfall: str) -> str:
    return f"{doc}; {pitfall}" if pitfall else doc
