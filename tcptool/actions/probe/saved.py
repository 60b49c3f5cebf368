"""`probe show` and `probe diff`: results that were saved with -o."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Set
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tcptool.actions.host import host_facts
from tcptool.analysis import probe_diff as analysis
from tcptool.analysis.probe_diff import Key, Report
from tcptool.catalog.methods import BY_NAME, RECEIVERS
from tcptool.decode.records import WrongShape, read_record
from tcptool.errors import TcptoolError, UsageError
from tcptool.linux.kernel import Kernel
from tcptool.linux.results import STDIN, read_text
from tcptool.model.connect import ENDINGS, ConnectReport
from tcptool.model.latency import LatencyReport
from tcptool.model.pool_probe import PoolReport
from tcptool.model.probe import TransferReport
from tcptool.model.probe_diff import Origin, ProbeDiff
from tcptool.model.report import Host, Missing, Warning
from tcptool.traffic.ends import FAMILIES

KINDS: Final[dict[str, type[Report]]] = {
    "probe-transfer": TransferReport,
    "probe-compare": TransferReport,
    "probe-latency": LatencyReport,
    "probe-connect": ConnectReport,
    "probe-pool": PoolReport,
}
"""What stands under ``data`` of a saved document, by the name in its ``schema``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    """What stands around the data; see views/json/document.py."""

    tcptool: str
    time: str
    host: str
    kernel: str
    missing: list[Missing]
    warnings: list[Warning]


class Saved(NamedTuple):
    """A result as it was when it was measured."""

    name: str
    origin: Origin
    report: Report


def load(path: str) -> Saved:
    """Read a saved result; ``-`` is standard input.  Raises TcptoolError."""
    doing = f"reading the saved result {path!r}"
    text = read_text(path)
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        hint = "It was cut short, or is something else; `probe -o FILE` writes results."
        raise TcptoolError(doing, f"it is not JSON ({exc})", hint) from exc
    schema = document.get("schema") if isinstance(document, dict) else None
    name, slash, version = str(schema).removeprefix("tcptool.").partition("/")
    if name not in KINDS:
        raise UsageError(doing, f"its schema is {schema!r}", "`probe -o FILE` writes results.")
    if (slash, version) != ("/", "1"):
        hint = "A newer tcptool wrote it, and reads it."
        raise TcptoolError(doing, f"version {version} of {name} is not known here", hint)
    try:
        envelope = read_record(_Envelope, document, "document")
        report = read_record(
            KINDS[name],
            document.get("data"),
            host=Host(envelope.host, envelope.kernel, envelope.time),
            missing=envelope.missing,
            warnings=envelope.warnings,
        )
        _check(report)
    except WrongShape as exc:
        raise TcptoolError(doing, str(exc), "It was changed, or made by another program.") from exc
    origin = Origin(path, envelope.host, envelope.kernel, envelope.time, envelope.tcptool)
    return Saved(name, origin, report)


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")


def _check(report: Report) -> None:
    """Types alone do not make a result that can be shown.  Raises WrongShape."""
    if isinstance(report, TransferReport):
        if not report.results or not report.plan.methods:
            raise WrongShape("data.results", "one at least")
        for one in report.results:
            if not one.slices or not all(each.payload_bytes > 0 for each in one.slices):
                raise WrongShape(f"data.results of {one.method!r}", "slices with bytes in them")
        labels = {*report.plan.methods, *(one.method for one in report.results)}
        labels |= {*report.fastest, *report.cheapest}
        _known("data.plan.methods", {one.partition("#")[0] for one in labels}, BY_NAME)
        _known("data.plan.path", {report.plan.path}, FAMILIES)
        _known("data.plan.receiver", {report.plan.receiver} - {None}, RECEIVERS)
        measured = {one.method for one in report.results}
        compared = {name for one in report.comparisons for name in (one.method, one.base)}
        _known("data.comparisons", compared | {*report.fastest, *report.cheapest}, measured)
        return
    _known("data.plan.path", {report.plan.path}, FAMILIES)
    if isinstance(report, ConnectReport):
        _known("data.plan.closer", {report.plan.closer}, ("client", "server", "reset"))
        _known("data.ended_by", {report.ended_by}, ENDINGS)
    elif isinstance(report, LatencyReport | PoolReport):
        if not report.arms or not all(one.blocks for one in report.arms):
            raise WrongShape("data.arms", "one at least, and none without a block")
        bases = {one.base for one in report.arms} - {None}
        _known("data.arms", bases, {one.name for one in report.arms})
        if isinstance(report, LatencyReport) and not all(one.requests for one in report.arms):
            raise WrongShape("data.arms", "arms with requests")


def _known(where: str, words: Set[str | None], known: Container[str | None]) -> None:
    if strange := [word for word in words if word not in known]:
        raise WrongShape(where, f"another word than {strange[0]!r}")


def diff(kernel: Kernel, before: Saved, after: Saved, threshold_percent: float) -> ProbeDiff:
    """Compare two results of one kind.  Raises UsageError for two kinds."""
    if before.origin.file == after.origin.file == STDIN:
        raise UsageError("comparing - with -", "standard input holds one result", "Save the other.")
    kinds = KINDS[before.name], KINDS[after.name]
    if kinds[0] is not kinds[1]:
        raise UsageError(
            f"comparing {before.origin.file!r} with {after.origin.file!r}",
            f"one is of {_words(before)}, the other of {_words(after)}",
        )
    old, new = analysis.series_of(before.report), analysis.series_of(after.report)
    text = (
        "the two runs were not interleaved, so what the machine did between them counts as "
        "difference; `probe compare` measures side by side"
    )
    warnings = [Warning("not-interleaved", text)]
    for one in before, after:
        if not one.report.complete:
            warnings.append(Warning("not-complete", f"{one.origin.file}: ended before its time"))
    changes = analysis.changes(old, new, threshold_percent)
    if not analysis.is_judged(changes):
        text = "nothing could be judged: the results have no figure in common with enough readings"
        warnings.append(Warning("nothing-judged", text))
    return ProbeDiff(
        kind=before.name,
        before=before.origin,
        after=after.origin,
        threshold_percent=threshold_percent,
        changes=changes,
        only_before=_names(old.keys() - new.keys(), old),
        only_after=_names(new.keys() - old.keys(), new),
        circumstances=(
            *analysis.differences(replace(before.origin, file=""), replace(after.origin, file="")),
            *analysis.circumstances(before.report, after.report),
        ),
        host=host_facts(kernel),
        missing=[],
        warnings=warnings,
    )


def _words(saved: Saved) -> str:
    return f"`{saved.name.replace('-', ' ')}`"


def _names(keys: Set[Key], order: Iterable[Key]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key[0] for key in order if key in keys))
