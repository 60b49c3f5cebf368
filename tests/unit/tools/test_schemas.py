"""The JSON Schemas: valid, and as strict as the records are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tcptool.catalog.columns import COLUMNS
from tcptool.catalog.options import OptionValue
from tools import schemas

FILES = schemas.files()
LIST = json.loads(FILES["list.json"])


def check(schema: dict[str, Any], value: Any, definitions: dict[str, Any] | None = None) -> None:
    Draft202012Validator({**schema, "$defs": definitions or {}}).validate(value)


@pytest.mark.parametrize("name", FILES)
def test_the_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(FILES[name]))


@pytest.mark.parametrize("name", FILES)
def test_every_reference_leads_somewhere(name: str) -> None:
    document = json.loads(FILES[name])
    named = set(document.get("$defs", {}))
    used = {part.split('"')[0] for part in FILES[name].split('"#/$defs/')[1:]}
    assert used == named


def test_every_column_is_in_the_schema_of_list() -> None:
    assert list(LIST["$defs"]["Row"]["properties"]) == list(COLUMNS)


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("state", "established", "open"),
        ("state", "unknown-99", 1),
        ("rtt_us", 20, 1.5),
        ("rtt_us", None, "20"),
        ("retrans_percent", 0.5, "0.5"),
        ("snd_ssthresh_packets", "unlimited", "infinite"),
        ("cookie", "1f3a", "0x1F"),
        ("options", ["sack", "unknown-512"], "sack"),
        ("holders", [{"pid": 1, "fd": 2, "process": "x"}], [{"pid": 1}]),
        ("local_port", 80, "80"),
        ("congestion", "cubic", 3),
    ],
)
def test_a_column_takes_its_values_and_no_others(column: str, good: Any, bad: Any) -> None:
    schema = LIST["$defs"]["Row"]["properties"][column]
    check(schema, good, LIST["$defs"])
    with pytest.raises(ValidationError):
        check(schema, bad, LIST["$defs"])


def test_a_unit_stands_beside_the_description() -> None:
    rtt = LIST["$defs"]["Row"]["properties"]["rtt_us"]
    assert rtt["x-unit"] == "us"
    assert rtt["description"].startswith("smoothed round-trip time. Pitfall: ")


def test_internal_fields_are_left_out() -> None:
    assert "packed_id" not in json.loads(FILES["inspect.json"])["$defs"]["Socket"]["properties"]


def test_an_option_value_may_be_a_structure() -> None:
    builder = schemas._Builder("inspect")
    value = builder.of(OptionValue)
    for good in (True, 5, "unlimited", ["a"], {"enabled": True, "seconds": 0}):
        check(value, good)
    with pytest.raises(ValidationError):
        check(value, None)


def test_a_pair_has_two_items() -> None:
    pair = schemas._Builder("explain").of(tuple[str, int])
    check(pair, ["a", 1])
    for bad in (["a"], ["a", 1, 2], [1, "a"]):
        with pytest.raises(ValidationError):
            check(pair, bad)


def test_a_type_without_a_place_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        schemas._Builder("list").of(bytes)
