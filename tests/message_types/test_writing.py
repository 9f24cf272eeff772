"""Objects are written as messages wherever the message types are known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AsyncMessageStore,
    AsyncUnitOfWork,
    InvalidArgument,
    InvalidMessage,
    Message,
    MessageStore,
    UnitOfWork,
    write_on_commit,
)
from tests.message_types.events import Canceled, Paid, Placed, Shipped, placed, types


def _events(engine: Engine) -> list[Any]:
    with Session(engine) as session:
        return [types.decode(each) for each in MessageStore(session).read_messages()]


def test_a_unit_of_work(engine: Engine) -> None:
    event = placed()
    with UnitOfWork(sessionmaker(engine), types=types) as unit:
        unit.write("order-1", event, expected_version=-1)
        unit.write("order-1", [Paid(Decimal(1)), Message("Shipped", {"to": "Rome"})])
        unit.commit()

    assert _events(engine) == [event, Paid(Decimal(1)), Shipped("Rome")]


def test_the_store_of_a_unit_of_work(engine: Engine) -> None:
    with UnitOfWork(sessionmaker(engine), types=types) as unit:
        unit.store.write("order-1", Shipped("Rome"))
        unit.commit()

    assert _events(engine) == [Shipped("Rome")]


def test_a_store(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        store = MessageStore(session, types=types)
        store.write("order-1", Shipped("Rome"))
        # A model of pydantic is iterable.
        store.write("order-1", Canceled(reason="late"))
        store.write_messages(
            [("order-2", Shipped("Oslo")), ("order-1", Message("Shipped", {"to": "x"}))]
        )
        store.load([("order-3", Shipped("Bern"))])

    assert _events(engine) == [
        Shipped("Rome"),
        Canceled(reason="late"),
        Shipped("Oslo"),
        Shipped("x"),
        Shipped("Bern"),
    ]


def test_on_commit(engine: Engine) -> None:
    with Session(engine) as session:
        write_on_commit(session, "order-1", [Shipped("Rome")], types=types)
        session.commit()

    assert _events(engine) == [Shipped("Rome")]


def test_asyncio(flavour: Any) -> None:
    if not flavour.asynchronous:
        pytest.skip("the sync tests are above")

    async def write() -> list[Any]:
        factory = async_sessionmaker(flavour.engine)
        async with AsyncUnitOfWork(factory, types=types) as unit:
            unit.write("order-1", Shipped("Rome"))
            await unit.store.write("order-2", Shipped("Oslo"))
            await unit.commit()
        async with factory.begin() as session:
            store = AsyncMessageStore(session, types=types)
            await store.write_messages([("order-1", Paid(Decimal(2)))])
            await store.load([("order-1", Paid(Decimal(3)))])
            return [types.decode(each) for each in await store.read_stream("order-1")]

    assert flavour.run(write()) == [Shipped("Rome"), Paid(Decimal(2)), Paid(Decimal(3))]


def test_without_types_an_object_is_no_message(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(InvalidArgument, match="must be an instance of"):
        MessageStore(session).write("order-1", Shipped("Rome"))


def test_what_is_no_message_type(engine: Engine) -> None:
    with Session(engine) as session:
        store = MessageStore(session, types=types)
        for messages in (5, "Placed", {"to": "Rome"}, [5]):
            with pytest.raises(
                InvalidArgument, match="is not a message type; the message types are"
            ):
                store.write("order-1", messages)


def test_an_invalid_object_leaves_nothing(engine: Engine) -> None:
    with UnitOfWork(sessionmaker(engine), types=types) as unit:
        with pytest.raises(InvalidMessage, match="Expected `str`, got `int`"):
            unit.write("order-1", [Shipped("Rome"), Shipped(5)])  # type: ignore[arg-type]
        unit.commit()

    assert _events(engine) == []


def test_a_repeated_message_is_written_once(engine: Engine) -> None:
    message = types.message(placed())
    for _ in range(2):
        with UnitOfWork(sessionmaker(engine), types=types) as unit:
            unit.write("order-1", message)
            unit.commit()

    (event,) = _events(engine)
    assert isinstance(event, Placed)
