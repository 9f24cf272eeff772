"""Comparison of a stream with what is expected in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from mdb_sqla import InvalidArgument, Message, MessageStore
from mdb_sqla.testing import expect_messages, expect_messages_async
from tests.conftest import Flavour
from tests.entities.accounts import Deposited, Noted, types, write


@pytest.fixture
def connection(engine: Engine) -> Any:
    write(engine, Deposited(Decimal(1)), types.message(Noted("x"), metadata={"a": 1, "b": [2]}))
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    "expected",
    [
        ["Deposited", "Noted"],
        [Deposited(Decimal(1)), "Noted"],
        [Message("Deposited", {"amount": "1"}), Message("Noted", {"text": "x"}, {"b": (2,)})],
    ],
)
def test_what_is_there(connection: Any, expected: Any) -> None:
    found = expect_messages(connection, "account-1", expected, types=types)
    assert [each.position for each in found] == [0, 1]


def test_from_a_position(connection: Any) -> None:
    assert len(expect_messages(connection, "account-1", ["Noted"], position=1)) == 1
    assert expect_messages(MessageStore(connection), "account-2", []) == []


@pytest.mark.parametrize(
    "expected",
    [
        [],
        ["Deposited"],
        ["Noted", "Deposited"],
        ["Deposited", "Noted", "Noted"],
        [Deposited(Decimal(2)), "Noted"],
        ["Deposited", Message("Noted", {"text": "x"}, {"a": 2})],
        ["Deposited", Message("Noted", {"text": "x"}, {"c": 2})],
        ["Deposited", Message("Noted")],
    ],
)
def test_what_differs(connection: Any, expected: Any) -> None:
    with pytest.raises(AssertionError, match="Stream account-1 has other messages"):
        expect_messages(connection, "account-1", expected, types=types)


def test_the_difference(connection: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        expect_messages(
            connection, "account-1", ["Deposited", Message("Noted", {"text": "y"}, {"a": 1})]
        )

    assert str(caught.value).splitlines() == [
        "Stream account-1 has other messages (- expected, + found):",
        "  Deposited",
        "- Noted {'text': 'y'}",
        "+ Noted {'text': 'x'}",
        "    metadata {'a': 1}",
    ]


@pytest.mark.parametrize("expected", ["Deposited", 7, [Deposited(Decimal(1))]])
def test_what_can_not_be_expected(connection: Any, expected: Any) -> None:
    with pytest.raises(InvalidArgument):
        expect_messages(connection, "account-1", expected)


def test_every_way_of_sqlalchemy(flavour: Flavour) -> None:
    expect: Any = expect_messages_async if flavour.asynchronous else expect_messages
    with flavour.session() as session:
        for source in (session, flavour.store(session)):
            assert flavour.run(expect(source, "account-1", [])) == []
        with flavour.unit_of_work(session) as unit:
            unit.write("account-1", Message("Closed"))
            flavour.run(unit.commit())
        with flavour.unit_of_work(session) as unit:
            flavour.run(expect(unit, "account-1", ["Closed"]))
    with flavour.connection() as connection:
        flavour.run(expect(connection, "account-1", ["Closed"]))
