"""What a projection may consist of, and what it computes from messages without a database."""

from __future__ import annotations

import dataclasses
import re
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, assert_type

import pytest
from sqlalchemy import Column, Date, Integer, MetaData, String, Table, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from mdb_sqla import InvalidArgument, ProjectionFailed, StoredMessage
from mdb_sqla.errors import DecodingFailed
from mdb_sqla.projections import Projection
from tests.projections.conftest import Canceled, Paid, Placed, Total, totals_of, types

_metadata = MetaData()
pairs = Table(
    "pairs",
    _metadata,
    Column("left", Integer, primary_key=True, autoincrement=False),
    Column("right", Uuid, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("noted", String, server_default="x", nullable=False),
)
days = Table("days", _metadata, Column("day", Date, primary_key=True))
bare = Table("bare", _metadata, Column("number", Integer))
numbered = Table(
    "numbered",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("note", String, nullable=False),
)


@dataclasses.dataclass
class Pair:
    left: int
    right: uuid.UUID
    number: int = 0


@dataclasses.dataclass
class Day:
    day: Any


@dataclasses.dataclass
class Number:
    id: int
    note: str = ""


def stored(
    type_: str, data: Any, stream: str = "order-1", at: int = 1, position: int = 0
) -> StoredMessage:
    return StoredMessage(uuid.uuid4(), stream, type_, position, at, data, {}, datetime.now(UTC))


def test_rows_are_folded_by_the_id_of_the_stream() -> None:
    totals = totals_of()
    messages = [
        stored("Placed", {"customer": "ada", "total": "10"}, "order-1", 1),
        stored("Placed", {"customer": "bob", "total": "5"}, "order-2", 2),
        stored("Paid", {"amount": "4"}, "order-1", 3),
        stored("Noted", {}, "order-1", 4),
        stored("Paid", {"amount": "6"}, "order-1", 5),
        stored("Canceled", {}, "order-2", 6),
    ]

    rows = totals.fold(messages)

    assert_type(rows["1"], Total)
    assert rows == {"1": Total("1", "ada", Decimal(10), Decimal(10), ["4", "6"])}


def test_erased_messages_are_skipped() -> None:
    erased = stored("Placed", {})._replace(metadata={"erased": True})  # type: ignore[typeddict-unknown-key]

    assert totals_of().fold([erased]) == {}


def test_without_message_types_the_handler_gets_the_message() -> None:
    numbers = Projection("numbers", "order", row=Number, table=numbered)

    @numbers.on("Placed", "Changed")
    def note(row: Number | None, message: StoredMessage) -> Number:
        return Number(int(message.stream_name.partition("-")[2]), message.data["note"])

    rows = numbers.fold([stored("Changed", {"note": "a"}, "order-7")])

    assert rows == {7: Number(7, "a")}


def test_a_message_of_several_rows_and_of_none() -> None:
    numbers = Projection("numbers", "order", row=Number, table=numbered, key=lambda m: m.data)

    @numbers.on("Counted")
    def count(row: Number | None, message: StoredMessage) -> Number | None:
        key = message.data[0]
        return row or Number(key)

    assert numbers.fold([stored("Counted", [4, 4]), stored("Counted", None)]) == {4: Number(4)}


def test_a_key_of_several_columns() -> None:
    key = uuid.uuid4()
    projection = Projection("pairs", "order", row=Pair, table=pairs, key=lambda message: (3, key))

    @projection.on("Counted")
    def count(row: Pair | None, message: StoredMessage) -> Pair:
        row = row or Pair(3, key)
        row.number += 1
        return row

    assert projection.fold([stored("Counted", {})] * 2) == {(3, key): Pair(3, key, 2)}


@pytest.mark.parametrize(
    ("returned", "rule"),
    [
        ("x", "its key must have 2 values (left, right), got 'x' (str)"),
        ((1,), "its key must have 2 values (left, right), got (1,) (tuple)"),
        ((1, "x"), "its key right must be of type uuid.UUID, got 'x' (str)"),
        ((True, uuid.UUID(int=0)), "its key left must be of type int, got True (bool)"),
    ],
)
def test_a_key_of_a_wrong_kind(returned: Any, rule: str) -> None:
    projection = Projection("pairs", "order", row=Pair, table=pairs, key=lambda m: returned)
    projection.on("Counted")(lambda row, message: row)

    with pytest.raises(ProjectionFailed, match=re.escape(rule)) as failed:
        projection.fold([stored("Counted", {}, "order-5", 77, 3)])

    assert str(failed.value).startswith(
        "Projection 'pairs' can't apply message 77 of type 'Counted', position 3 of stream order-5"
    )


@pytest.mark.parametrize("stream", ["order", "order-x", "order-07", "order-+7", "order- 7"])
def test_a_stream_whose_id_is_not_a_plain_key(stream: str) -> None:
    numbers = Projection("numbers", "order", row=Number, table=numbered)
    numbers.on("Placed")(lambda row, message: row)

    with pytest.raises(ProjectionFailed, match=r"its stream has no id|must be a plain int"):
        numbers.fold([stored("Placed", {}, stream)])


@pytest.mark.parametrize(
    ("result", "rule"),
    [
        (lambda row: "x", "its handler must return an instance of"),
        (lambda row: Number(8), "its handler must return a row with the key 7, got 8"),
        (lambda row: setattr(row, "note", "b"), "return the row, or leave it unchanged"),
    ],
)
def test_a_handler_that_returns_something_else(result: Any, rule: str) -> None:
    numbers = Projection("numbers", "order", row=Number, table=numbered)
    numbers.on("Placed")(lambda row, message: Number(7))
    numbers.on("Changed")(lambda row, message: result(row))

    with pytest.raises(ProjectionFailed, match=re.escape(rule)):
        numbers.fold([stored("Placed", {}, "order-7"), stored("Changed", {}, "order-7")])


def test_a_handler_that_raises_names_the_message() -> None:
    with pytest.raises(ProjectionFailed, match=r"can't apply message 9 .*AssertionError") as failed:
        totals_of().fold([stored("Paid", {"amount": "1"}, at=9)])

    assert isinstance(failed.value.__cause__, AssertionError)


def test_a_message_that_can_not_be_decoded() -> None:
    with pytest.raises(DecodingFailed):
        totals_of().fold([stored("Paid", {"amount": "a lot"})])


class OtherBase(DeclarativeBase):
    pass


class WithDefault(OtherBase):
    __tablename__ = "with_default"

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]


@dataclasses.dataclass
class Unknown:
    id: int
    what: str


@dataclasses.dataclass
class Keyless:
    note: str


@dataclasses.dataclass
class OnlyKey:
    id: int


@dataclasses.dataclass
class Computed:
    id: int
    note: str = dataclasses.field(init=False, default="")


@pytest.mark.parametrize(
    ("row", "table", "rule"),
    [
        (Unknown, numbered, "has the field 'what', which is no column of table numbered"),
        (Keyless, numbered, "has no field for the column 'id', part of the primary key"),
        (OnlyKey, numbered, "has no field for the column 'note' of table numbered, which is NOT"),
        (Computed, numbered, "The field 'note' of .* has init=False"),
        (Number, None, "table must be a Table or a mapped class"),
        (Number, bare, "has the field 'id', which is no column of table bare"),
        (Total, numbered, "is mapped to order_totals, not to"),
        (str, numbered, "row must be a dataclass or a mapped class, got str"),
        (Number(1), numbered, "row must be a class, got"),
    ],
)
def test_rows_that_are_not_those_of_the_table(row: Any, table: Any, rule: str) -> None:
    with pytest.raises(InvalidArgument, match=rule):
        Projection("numbers", "order", row=row, table=table)


def test_a_table_without_primary_key() -> None:
    @dataclasses.dataclass
    class Bare:
        number: int

    with pytest.raises(InvalidArgument, match="Table bare has no primary key"):
        Projection("bare", "order", row=Bare, table=bare)


def test_a_mapped_class_is_its_own_table() -> None:
    projection = Projection("x", "order", row=WithDefault)
    projection.on("Placed")(lambda row, message: WithDefault(id="1", number=5))

    assert projection.fold([stored("Placed", {})])["1"].number == 5


def test_what_can_not_be_defined_or_registered() -> None:
    totals = totals_of()
    for arguments, rule in [
        (("a:b", "order"), "name must not contain ':'"),
        (("a",), "needs at least one category"),
        (("a", "order-1"), "must be a category"),
    ]:
        with pytest.raises(InvalidArgument, match=rule):
            Projection(*arguments, row=Total)
    with pytest.raises(InvalidArgument, match="version must be an integer of at least 1"):
        Projection("a", "order", row=Total, version=0)
    with pytest.raises(InvalidArgument, match="Messages of type 'Placed' already have a handler"):
        totals.on(Placed)(lambda row, event, message: row)
    with pytest.raises(InvalidArgument, match="has no message types"):
        Projection("a", "order", row=Total).on(Paid)
    with pytest.raises(InvalidArgument, match="needs at least one message type"):
        totals.on()
    with pytest.raises(InvalidArgument, match="is not a message type"):
        totals.on(Number)  # type: ignore[type-var, unused-ignore]
    with pytest.raises(InvalidArgument, match="handler must be callable"):
        totals.on("Other")(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="The id of a stream can't be the primary key"):
        Projection("a", "order", row=Day, table=days).on("Placed")
    with pytest.raises(InvalidArgument, match="has no handlers"):
        Projection("a", "order", row=Total).consumer()


def test_types_of_handlers() -> None:
    totals = Projection("totals", "order", row=Total, types=types)

    @totals.on(Paid, Canceled, key=lambda event, message: "1")
    def either(row: Total | None, event: Paid | Canceled, message: StoredMessage) -> Total | None:
        if isinstance(event, Paid):
            assert_type(event.amount, Decimal)
        return row

    assert totals.fold([stored("Canceled", {})]) == {}
