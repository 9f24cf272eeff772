"""Objects become messages and come back, or it is said why not."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from mdb_sqla import InvalidArgument, InvalidMessage, Message
from mdb_sqla.errors import DecodingFailed, UnknownMessageType
from mdb_sqla.message_types import MessageTypes
from tests.message_types.events import (
    Canceled,
    Line,
    Noted,
    Paid,
    Placed,
    Shipped,
    State,
    placed,
    stored,
    types,
)


@pytest.mark.parametrize(
    "event",
    [
        placed(),
        placed(state=State.OLD, lines=[]),
        Paid(Decimal("12.30")),
        Shipped("Rome", express=True),
        Canceled(reason="late", days=3),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_object_comes_back_equal(event: Any) -> None:
    message = types.message(event)

    assert message.type == type(event).__name__
    assert isinstance(message.data, dict)
    assert message.metadata is None
    assert types.decode(stored(message)) == event
    # Entities decode the text.
    _, _, decode_text = types._text_decoders()[message.type]
    assert decode_text(json.dumps(message.data)) == event


def test_strings_of_any_class_are_written_as_strings() -> None:
    class Name(str):
        """Like `Forgotten`, and unlike an enum, which is stored as its value."""

    assert types.message(Shipped(Name("Rome"))).data == {"to": "Rome", "express": False}
    assert type(types.message(Shipped(Name("Rome"))).data["to"]) is str


def test_json_has_plain_values() -> None:
    event = placed(lines=[Line("tea", Decimal("1.10"))])
    data = types.message(event).data

    assert data["lines"] == [{"article": "tea", "price": "1.10"}]
    assert data["state"] == "new"
    assert data["customer"] == str(event.customer)


def test_a_typed_dictionary_needs_its_class() -> None:
    message = types.message({"text": "fragile"}, Noted)

    assert message.type == "Noted"
    assert types.decode(stored(message)) == {"text": "fragile"}
    with pytest.raises(InvalidArgument, match=r"<class 'dict'> .* is not a message type"):
        types.message({"text": "fragile"})


def test_id_and_metadata_are_those_of_the_message() -> None:
    id_ = uuid4()
    message = types.message(Shipped("Rome"), metadata={"properties": {"a": 1}}, id=id_)

    assert message.id == id_
    assert message.metadata == {"properties": {"a": 1}}


def test_a_former_name_is_read_and_not_written() -> None:
    event = placed()
    message = types.message(event)

    assert message.type == "Placed"
    assert types.decode(stored(message, type="Ordered")) == event
    assert types.names(Placed) == ["Placed", "Ordered"]


def test_a_class_may_have_another_name_than_its_own() -> None:
    renamed = MessageTypes({"OrderPlaced": Placed, "Placed": Placed})

    assert renamed.message(placed()).type == "OrderPlaced"


def test_the_own_name_wins_wherever_it_is() -> None:
    assert MessageTypes({"Ordered": Placed}, Placed).message(placed()).type == "Placed"


def test_unknown_fields_are_ignored() -> None:
    assert types.decode(stored(Message("Shipped", {"to": "Rome", "by": "ship"}))) == Shipped("Rome")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ({}, "missing required field `to`"),
        ({"to": 5}, r"Expected `str`, got `int` - at `\$.to`"),
        ({"to": "Rome", "express": "yes"}, r"Expected `bool`, got `str`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_what_is_no_such_object(data: Any, rule: str) -> None:
    with pytest.raises(DecodingFailed, match=rule) as error:
        types.decode(stored(Message("Shipped", data)))

    assert str(error.value).startswith(
        "Message 7 of type 'Shipped', position 3 of stream order-1, is not a valid "
        "tests.message_types.events.Shipped: "
    )
    assert "\n" not in str(error.value)


def test_errors_of_pydantic_take_one_line() -> None:
    with pytest.raises(
        DecodingFailed, match=r"Canceled: 1 validation error .* reason Field required"
    ):
        types.decode(stored(Message("Canceled", {"days": 1})))


def test_an_unknown_type_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        UnknownMessageType, match=r"position 3 of stream order-1.*'Lost'.*Ordered, "
    ):
        types.decode(stored(Message("Lost", {})))


@pytest.mark.parametrize(
    "event",
    [Shipped(5), placed(lines=["tea"]), Canceled.model_construct(reason=None)],  # type: ignore[arg-type]
    ids=["msgspec", "dataclass", "pydantic"],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_could_not_be_read_is_not_written(event: Any) -> None:
    with pytest.raises(InvalidMessage, match=f"Invalid message of type '{type(event).__name__}'"):
        types.message(event)


class _Pair(NamedTuple):
    first: int


class _Opaque:
    pass


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((5,), "must be a class, got 5"),
        (({"Five": 5},), "must be a class, got 5"),
        (({"": Placed},), "must be a non-empty string"),
        (({"Paid": Placed}, Paid), "'Paid' can't stand for both"),
        ((_Pair,), "stored as an array"),
        ((_Opaque,), "_Opaque can't be the type of a message"),
    ],
)
def test_what_is_no_message_type(arguments: Any, rule: str) -> None:
    with pytest.raises(InvalidArgument, match=rule):
        MessageTypes(*arguments)


def _total_in_cents(data: Any) -> Any:
    return {"cents": data["total"] * 100}


def _with_currency(data: Any) -> Any:
    return {**data, "currency": "EUR"}


@dataclasses.dataclass
class _Sold:
    cents: int
    currency: str


@pytest.mark.parametrize(
    ("data", "version"),
    [
        ({"total": 3}, None),
        ({"total": 3}, "1"),
        ({"cents": 300}, "2"),
        ({"cents": 300, "currency": "EUR"}, "3"),
        ({"cents": 300, "currency": "EUR"}, 3),
    ],
)
def test_old_versions_are_upcast_step_by_step(data: Any, version: Any) -> None:
    sold = MessageTypes({"Sold": _Sold}, upcasters={_Sold: [_total_in_cents, _with_currency]})
    metadata = {} if version is None else {"schemaVersion": version}

    assert sold.decode(stored(Message("Sold", data, metadata))) == _Sold(300, "EUR")
    assert sold.version(_Sold) == 3
    assert sold.message(_Sold(1, "EUR"), metadata={"a": 1}).metadata == {
        "a": 1,
        "schemaVersion": "3",
    }


@pytest.mark.parametrize("version", ["4", "0", "-1", "one"])
def test_versions_that_no_upcaster_knows(version: str) -> None:
    sold = MessageTypes({"Sold": _Sold}, upcasters={_Sold: [_total_in_cents, _with_currency]})

    with pytest.raises(DecodingFailed, match=r"schemaVersion|invalid literal"):
        sold.decode(stored(Message("Sold", {}, {"schemaVersion": version})))


def test_an_upcaster_that_fails_is_a_failure_of_the_message() -> None:
    sold = MessageTypes({"Sold": _Sold}, upcasters={_Sold: [_total_in_cents, _with_currency]})

    with pytest.raises(DecodingFailed, match="'total'") as error:
        sold.decode(stored(Message("Sold", {})))

    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("upcasters", [{Line: []}, {_Sold: _total_in_cents}, {_Sold: ["cents"]}])
def test_upcasters_that_are_none(upcasters: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"[Uu]pcasters"):
        MessageTypes({"Sold": _Sold}, upcasters=upcasters)
