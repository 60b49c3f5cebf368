"""`probe show` and `probe diff`: results that were saved with -o."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Final, NamedTuple

from tcptool.actions.host import host_facts
from tcptool.analysis import probe_diff as analysis
from tcptool.analysis.probe_diff import Key, Report
from tcptool.decode.records import WrongShape, read_record
from tcptool.errors import TcptoolError, UsageError
from tcptool.linux.kernel import Kernel
from tcptool.linux.results import read_text
from tcptool.model.connect import ConnectReport
from tcptool.model.latency import LatencyReport
from tcptool.model.pool_probe import PoolReport
from tcptool.model.probe import TransferReport
from tcptool.model.probe_diff import Origin, ProbeDiff
from tcptool.model.report import Host, Missing, Warning

KINDS: Final[dict[str, type[Report]]] = {
    "probe-transfer": TransferReport,
    "probe-compare": TransferReport,
    "probe-latency": LatencyReport,
    "probe-connect": ConnectReport,
    "probe-pool": PoolReport,
}
"""What stands under ``data`` of a saved document, by the name in its ``schema``."""

_STDIN: Final = "-"


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
    text = sys.stdin.read() if path == _STDIN else read_text(path)
    try:
        document = json.loads(text)
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
    except WrongShape as exc:
        raise TcptoolError(doing, str(exc), "It was changed, or made by another program.") from exc
    origin = Origin(path, envelope.host, envelope.kernel, envelope.time, envelope.tcptool)
    return Saved(name, origin, report)


def diff(kernel: Kernel, before: Saved, after: Saved, threshold_percent: float) -> ProbeDiff:
    """Compare two results of one kind.  Raises UsageError for two kinds."""
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
    return ProbeDiff(
        kind=before.name,
        before=before.origin,
        after=after.origin,
        threshold_percent=threshold_percent,
        changes=analysis.changes(old, new, threshold_percent),
        only_before=_names(old.keys() - new.keys(), old),
        only_after=_names(new.keys() - old.keys(), new),
        circumstances=(
            *analysis.differences(before.origin, after.origin),
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
