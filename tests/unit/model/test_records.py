"""Rules that hold for every record of the model."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import types
import typing
from collections.abc import Iterator

import pytest

import tcptool.model
from tcptool.model.owner import Holder, Process
from tcptool.model.sock import Endpoint
from tcptool.units import split_unit


def modules() -> list[types.ModuleType]:
    found = pkgutil.iter_modules(tcptool.model.__path__)
    return [importlib.import_module(f"tcptool.model.{one.name}") for one in found]


def records() -> list[type]:
    return [
        one
        for module in modules()
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]


def fields() -> Iterator[tuple[str, str, set[object]]]:
    """Record, field, and the plain types that it may hold."""
    for record in records():
        for name, hint in typing.get_type_hints(record).items():
            if not name.startswith("_"):
                yield record.__name__, name, set(typing.get_args(hint)) | {hint}


FIELDS = list(fields())
by_record = pytest.mark.parametrize("record", records(), ids=lambda record: record.__name__)
by_field = pytest.mark.parametrize(
    ("record", "name", "types"), FIELDS, ids=[f"{record}.{name}" for record, name, _ in FIELDS]
)

# Words by which a bare number would give away that it is no count.
MEASURED = ("rtt", "time", "interval", "elapsed", "rate", "wnd", "size", "length", "timeout")

# Of a comparison, an option or a requirement: its record has the unit in another field.
UNIT_BESIDE = ("value", "needed", "present")


@by_field
def test_a_number_that_is_no_count_ends_in_its_unit(
    record: str, name: str, types: set[object]
) -> None:
    unit = split_unit(name)[1]
    if float in types and name not in UNIT_BESIDE and name != "confidence":  # that is 0 to 1
        assert unit
    if int in types and any(word in name.split("_") for word in MEASURED):
        assert unit


@by_field
def test_a_unit_is_on_numbers_only(record: str, name: str, types: set[object]) -> None:
    if split_unit(name)[1]:
        assert types & {int, float}


@by_record
def test_a_record_is_frozen_slotted_and_says_what_it_is(record: type) -> None:
    assert record.__doc__
    if dataclasses.is_dataclass(record):
        # An empty record has no field to set, hence the attribute that it lacks.
        assert getattr(record, "__dataclass_params__").frozen  # noqa: B009
        assert "__slots__" in vars(record)
    else:
        assert issubclass(record, tuple)


def test_the_model_has_records() -> None:
    assert len(records()) > 25


@pytest.mark.parametrize(
    ("address", "port", "shown"),
    [
        ("127.0.0.1", 80, "127.0.0.1:80"),
        ("::1", 80, "[::1]:80"),
        ("::", 0, "[::]:*"),
        ("0.0.0.0", 0, "0.0.0.0:*"),
    ],
)
def test_an_end_is_shown_as_address_and_port(address: str, port: int, shown: str) -> None:
    assert str(Endpoint(address, port)) == shown


def test_a_holder_is_shown_as_pid_and_descriptor() -> None:
    assert str(Holder(Process(42, "nginx", 1, "S"), 7)) == "42:7"
