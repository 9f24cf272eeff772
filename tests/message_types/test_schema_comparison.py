"""Which changes of a class leave recorded messages readable."""

from __future__ import annotations

import dataclasses
import enum
import re
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

from mdb_sqla.message_types import MessageTypes, incompatibilities


class _Two(enum.Enum):
    A = "a"
    B = "b"


class _Three(enum.Enum):
    A = "a"
    B = "b"
    C = "c"


@dataclasses.dataclass
class _Node:
    children: list[_Node]
    weight: int


@dataclasses.dataclass
class _HeavierNode:
    children: list[_HeavierNode]
    weight: float


@dataclasses.dataclass
class _NamedNode:
    children: list[_NamedNode]
    weight: str


def _class(**fields: Any) -> type:
    return dataclasses.make_dataclass(
        "Placed",
        [
            (name, *kind) if isinstance(kind, tuple) else (name, kind)
            for name, kind in fields.items()
        ],
    )


def _changes(old: type, new: type, **options: Any) -> list[str]:
    recorded = MessageTypes({"Placed": old}).schema()
    return list(incompatibilities(recorded, MessageTypes({"Placed": new}, **options).schema()))


DEFAULT = dataclasses.field(default=None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"total": int}, {"total": int}),
        ({"total": int}, {"total": float}),
        ({"total": int}, {"total": int | None}),
        ({"total": int}, {"total": int | str}),
        ({"total": int, "note": str}, {"total": int}),
        ({"total": int}, {"total": int, "note": (str | None, DEFAULT)}),
        ({"state": _Two}, {"state": _Three}),
        ({"state": _Two}, {"state": str}),
        ({"price": Decimal}, {"price": str}),
        ({"totals": list[int]}, {"totals": list[float]}),
        ({"totals": dict[str, int]}, {"totals": dict[str, float]}),
        ({"tree": _Node}, {"tree": _HeavierNode}),
    ],
)
def test_compatible_changes(old: Any, new: Any) -> None:
    assert _changes(_class(**old), _class(**new)) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ({"total": int}, {"total": str}, "Placed.total: integer was changed into string"),
        ({"total": float}, {"total": int}, "Placed.total: number was changed into integer"),
        ({"total": int | None}, {"total": int}, "Placed.total: null was changed into integer"),
        ({"total": int}, {"total": bool | str}, "Placed.total: integer is not accepted any more"),
        ({}, {"note": str}, "Placed.note: it is required now, but is missing in recorded"),
        (
            {"note": (str | None, DEFAULT)},
            {"note": str | None},
            "Placed.note: it is required now, but may",
        ),
        (
            {"state": _Three},
            {"state": _Two},
            "Placed.state: the value 'c' is not accepted any more",
        ),
        ({"state": str}, {"state": _Two}, "Placed.state: the value 'other values' is not"),
        ({"price": str}, {"price": Decimal}, "Placed.price: its format is now 'decimal'"),
        ({"totals": list[int]}, {"totals": list[str]}, r"Placed.totals\[\]: integer was changed"),
        ({"totals": dict[str, int]}, {"totals": dict[str, str]}, r"Placed.totals.\*: integer was"),
        ({"tree": _Node}, {"tree": _NamedNode}, "Placed.tree.weight: integer was changed"),
    ],
)
def test_incompatible_changes(old: Any, new: Any, what: str) -> None:
    (change,) = _changes(_class(**old), _class(**new))

    assert re.match(what, change), change
    assert change.endswith("; correct it, or add an upcaster")


def test_an_upcaster_makes_any_change_compatible() -> None:
    new = _class(total=str)

    assert _changes(_class(total=int), new, upcasters={new: [lambda data: data]}) == []


def test_a_version_can_not_go_back() -> None:
    old = _class(total=int)
    recorded = MessageTypes({"Placed": old}, upcasters={old: [lambda data: data]}).schema()

    (change,) = incompatibilities(recorded, MessageTypes({"Placed": old}).schema())
    assert change == "Placed: its version was 2, and is 1 now"


def test_a_type_can_not_be_forgotten() -> None:
    recorded = MessageTypes({"Placed": _class(total=int)}).schema()

    (change,) = incompatibilities(recorded, {})
    assert change == "Placed: the type is missing; map the name to a class"


def test_forbidden_fields_can_not_be_removed() -> None:
    class Old(msgspec.Struct):
        a: int
        b: int

    class New(msgspec.Struct, forbid_unknown_fields=True):
        a: int

    (change,) = _changes(Old, New)
    assert change.startswith("Placed.b: it was removed, and unknown fields are forbidden")


def test_models_of_pydantic_are_compared_as_well() -> None:
    class Old(pydantic.BaseModel):
        total: int
        note: str | None = None

    class New(pydantic.BaseModel):
        total: int = pydantic.Field(ge=10)
        note: str

    assert _changes(Old, Old) == []
    changes = _changes(Old, New)
    assert [change.partition(":")[0] for change in changes] == [
        "Placed.note",
        "Placed.note",
        "Placed.total",
    ]
