"""Records from JSON: what was written comes back, and what does not fit is named."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcptool.decode.records import WrongShape, read_record
from tcptool.model.connect import ConnectPlan
from tcptool.model.latency import LatencyArm, LatencyPlan
from tcptool.model.probe import MethodComparison, Settings, Slice, TransferPlan, TransferReport
from tcptool.views.json.document import dumps, to_json
from tests.unit.views.transfer_reports import comparison_of_all

SIMPLE = {
    int: st.integers(-(1 << 63), 1 << 64),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=5),
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Everything that a type hint allows."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return st.builds(
            kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)}
        )
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, inner))
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=3), values(inner[1]), max_size=2)
    many = st.lists(values(inner[0]), max_size=2)
    return many if origin is list else many.map(tuple)


@pytest.mark.parametrize(
    "kind", [TransferPlan, Settings, MethodComparison, LatencyPlan, LatencyArm, ConnectPlan]
)
@settings(max_examples=30)
@given(data=st.data())
def test_what_was_written_comes_back(kind: Any, data: st.DataObject) -> None:
    record = data.draw(values(kind))
    assert read_record(kind, json.loads(dumps(to_json(record)))) == record


def test_a_whole_result_comes_back() -> None:
    report = comparison_of_all()
    written = json.loads(dumps(to_json(report)))
    apart = {name: getattr(report, name) for name in ("host", "missing", "warnings")}
    assert read_record(TransferReport, written, **apart) == report


SLICE = {"connection": 3, "payload_bytes": 1, "elapsed_s": 2, "near_cpu_s": 0.5, "far_cpu_s": None}


def test_a_whole_number_is_a_number_too() -> None:
    assert read_record(Slice, SLICE) == Slice(3, 1, 2.0, 0.5, None)


def test_a_key_of_a_newer_tcptool_is_passed_over() -> None:
    assert read_record(Slice, SLICE | {"colour": "blue"}) == Slice(3, 1, 2.0, 0.5, None)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"payload_bytes": 1.5}, "data.payload_bytes: a whole number is expected"),
        ({"payload_bytes": True}, "data.payload_bytes: a whole number is expected"),
        ({"elapsed_s": "2"}, "data.elapsed_s: a number is expected"),
        ({"elapsed_s": None}, "data.elapsed_s: a number is expected"),
        ({"far_cpu_s": []}, "data.far_cpu_s: a number is expected"),
    ],
)
def test_what_does_not_fit_is_named(changed: dict[str, object], text: str) -> None:
    with pytest.raises(WrongShape) as caught:
        read_record(Slice, SLICE | changed)
    assert str(caught.value) == text


def test_what_is_lacking_is_named() -> None:
    with pytest.raises(WrongShape, match=r"data\.elapsed_s: a value is expected"):
        read_record(Slice, {"connection": 3, "payload_bytes": 1})
    with pytest.raises(WrongShape, match="data: an object is expected"):
        read_record(Slice, [])


@dataclasses.dataclass(frozen=True)
class Sample:
    slices: tuple[Slice, ...]
    named: Mapping[str, int]
    either: int | Slice


SAMPLE = {"slices": [SLICE], "named": {"a": 1}, "either": SLICE}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"slices": 5}, "data.slices: a list is expected"),
        ({"slices": [SLICE, {}]}, "data.slices[1].connection: a value is expected"),
        ({"named": []}, "data.named: an object is expected"),
        ({"named": {"a": "b"}}, "data.named.a: a whole number is expected"),
        ({"either": {}}, "data.either.connection: a value is expected"),
    ],
)
def test_the_place_is_told(changed: dict[str, object], text: str) -> None:
    assert read_record(Sample, SAMPLE).either == Slice(3, 1, 2.0, 0.5, None)
    with pytest.raises(WrongShape) as caught:
        read_record(Sample, SAMPLE | changed)
    assert str(caught.value) == text


@dataclasses.dataclass
class Odd:
    one: set[int]


def test_a_type_that_no_document_has_is_a_bug() -> None:
    with pytest.raises(TypeError, match="no place in a saved record"):
        read_record(Odd, {"one": []})
