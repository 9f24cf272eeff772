"""Handlers get the object of a message, and type checkers know its class."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any, assert_type

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import (
    AsyncUnitOfWork,
    Consumer,
    HandlerFailed,
    InvalidArgument,
    Message,
    MessageStore,
    RetryPolicy,
    StoredMessage,
    UnitOfWork,
    admin,
)
from mdb_sqla.errors import DecodingFailed
from tests.message_types.events import Paid, Placed, Shipped, placed, types

ONCE = RetryPolicy(max_attempts=1)


def _write(engine: Engine, *events: Any, stream: str = "order-1") -> None:
    with Session(engine) as session, session.begin():
        MessageStore(session, types=types).write(stream, events)


def test_a_handler_gets_the_object_and_the_message(engine: Engine) -> None:
    event = placed()
    _write(engine, event, Message("Ordered", types.message(event).data), Shipped("Rome"))
    seen: list[Any] = []
    consumer = Consumer("billing", "order", types=types)

    @consumer.on(Placed)
    def bill(event: Placed, message: StoredMessage, unit: UnitOfWork) -> None:
        assert_type(event.lines[0].price, Decimal)
        unit.write("invoice-1", Paid(event.lines[0].price))
        seen.append((event, message.type))

    consumer.catch_up(sessionmaker(engine))

    assert seen == [(event, "Placed"), (event, "Ordered")]
    with Session(engine) as session:
        invoices = MessageStore(session).read_stream("invoice-1")
    assert [types.decode(each) for each in invoices] == [Paid(Decimal("1.10"))] * 2


def test_one_handler_of_several_types(engine: Engine) -> None:
    _write(engine, Shipped("Rome"), Paid(Decimal(1)), placed())
    seen: list[Any] = []
    consumer = Consumer("billing", "order", types=types)

    @consumer.on(Paid, Shipped)
    def record(event: Paid | Shipped, message: StoredMessage, unit: UnitOfWork) -> None:
        if isinstance(event, Shipped):
            assert_type(event, Shipped)
        seen.append(event)

    consumer.catch_up(sessionmaker(engine))

    assert seen == [Shipped("Rome"), Paid(Decimal(1))]
    assert consumer.handlers.names == {"Paid": record.__name__, "Shipped": record.__name__}


def test_async_handlers_alone_and_in_flight(engine: Engine) -> None:
    _write(engine, Shipped("Rome"), Shipped("Oslo"))
    seen: list[Any] = []
    one_by_one = Consumer("one", "order", types=types)
    in_flight = Consumer("many", "order", types=types, max_in_flight=10)

    @one_by_one.on(Shipped)
    async def track(event: Shipped, message: StoredMessage, unit: AsyncUnitOfWork) -> None:
        unit.write("track-1", event)
        seen.append(event.to)

    @in_flight.on(Shipped)
    async def call(event: Shipped, message: StoredMessage) -> None:
        seen.append(event.to.lower())

    async def run() -> None:
        async_engine = create_async_engine(engine.url)
        factory = async_sessionmaker(async_engine)
        await one_by_one.catch_up_async(factory)
        await in_flight.catch_up_async(factory)
        await async_engine.dispose()

    asyncio.run(run())

    assert seen[:2] == ["Rome", "Oslo"]
    assert sorted(seen[2:]) == ["oslo", "rome"]


def test_a_message_that_can_not_be_decoded_is_a_failed_message(engine: Engine) -> None:
    _write(engine, Message("Shipped", {"to": 5}), Shipped("Rome"), stream="order-1")
    _write(engine, Shipped("Oslo"), stream="order-2")
    seen: list[Any] = []
    consumer = Consumer(
        "billing", "order", types=types, on_failure="dead_letter", retry_policy=ONCE
    )

    @consumer.on(Shipped)
    def track(event: Shipped, message: StoredMessage, unit: UnitOfWork) -> None:
        seen.append(event.to)

    consumer.catch_up(sessionmaker(engine))

    assert seen == ["Oslo"]
    with Session(engine) as session:
        letters = admin.dead_letters(session)
    assert [(each.position, each.failed) for each in letters] == [(0, True), (1, False)]
    assert "position 0 of stream order-1, is not a valid" in str(letters[0].error)


def test_without_dead_letters_the_error_names_the_message(engine: Engine) -> None:
    _write(engine, Message("Shipped", {"to": 5}))
    consumer = Consumer("billing", "order", types=types, retry_policy=ONCE)

    @consumer.on(Shipped)
    def track(event: Shipped, message: StoredMessage, unit: UnitOfWork) -> None:
        raise AssertionError

    with pytest.raises(HandlerFailed) as error:
        consumer.catch_up(sessionmaker(engine))

    assert isinstance(error.value.__cause__, DecodingFailed)


def test_a_handler_fails_as_ever(engine: Engine) -> None:
    _write(engine, Shipped("Rome"))
    consumer = Consumer("billing", "order", types=types, retry_policy=ONCE)

    @consumer.on(Shipped)
    def track(event: Shipped, message: StoredMessage, unit: UnitOfWork) -> None:
        unit.session.execute(text("CREATE TABLE tracked ()"))
        raise ZeroDivisionError

    with pytest.raises(HandlerFailed) as error:
        consumer.catch_up(sessionmaker(engine))

    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_what_can_not_be_registered() -> None:
    typed = Consumer("billing", "order", types=types)

    with pytest.raises(InvalidArgument, match=r"no message types, .* types=MessageTypes"):
        Consumer("billing", "order").on(Shipped)
    with pytest.raises(InvalidArgument, match="is not a message type"):
        typed.on(int)
    with pytest.raises(InvalidArgument, match="must be a non-empty string"):
        typed.on("Shipped", Paid)  # type: ignore[call-overload]
    with pytest.raises(InvalidArgument, match="register a handler for the name"):
        typed.on(Shipped, erased=True)  # type: ignore[call-overload]
    with pytest.raises(InvalidArgument, match=r"with \(object, message, unit\), but .*too many"):
        typed.on(Shipped)(lambda message, unit: None)
    with pytest.raises(InvalidArgument, match=r"missing a required argument: 'fourth'"):
        typed.on(Shipped)(lambda event, message, unit, fourth: None)
    typed.on(Shipped)(lambda event, message, unit: None)
    with pytest.raises(InvalidArgument, match="'Shipped' already have a handler"):
        typed.on("Shipped")(lambda message, unit: None)
