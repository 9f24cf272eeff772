"""Consumers whose handler has a row of its own in the transaction (S12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from time import perf_counter
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Engine,
    Identity,
    MetaData,
    Table,
    Text,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Consumer, Message, MessageStore, functions

__all__ = ["consumer_in_batches", "consumer_one_by_one", "effects", "fill"]

_BATCH = 1000

_metadata = MetaData()
effects = Table(
    "effects",
    _metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("stream_name", Text, nullable=False),
)
_positions = Table(
    "positions",
    _metadata,
    Column("consumer", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)


def fill(url: URL, number: int) -> None:
    """Store messages in 100 streams, and create the tables of the handlers."""
    engine = create_engine(url)
    _metadata.create_all(engine)
    with engine.begin() as connection:
        MessageStore(connection).load(
            (f"order-{n % 100}", Message(TYPE, DATA, METADATA)) for n in range(number)
        )
    engine.dispose()


@contextmanager
def _filled(server: Server, number: int) -> Iterator[Engine]:
    with server.ours() as url:
        fill(url, number)
        engine = create_engine(url)
        yield engine
        engine.dispose()


def _effect(message: Any) -> Any:
    return insert(effects).values(stream_name=message.stream_name)


def _consumer(engine: Engine, number: int, transaction_size: int) -> Callable[[], float]:
    """Run a consumer through the category, under another name each time."""
    names = count()

    def side() -> float:
        consumer = Consumer(f"consumer-{next(names)}", "order", transaction_size=transaction_size)

        @consumer.on(TYPE)
        def handle(message: Any, unit: Any) -> None:
            unit.session.execute(_effect(message))

        begin = perf_counter()
        consumer.catch_up(sessionmaker(engine))
        return number / (perf_counter() - begin)

    return side


def _by_hand(engine: Engine, number: int, transaction_size: int) -> Callable[[], float]:
    """Do what an application would write that has no consumer."""
    names = count()

    def side() -> float:
        name = f"by-hand-{next(names)}"
        factory = sessionmaker(engine)
        with factory() as session:
            session.execute(insert(_positions).values(consumer=name, position=0))
            session.commit()
        begin = perf_counter()
        position = 0
        while messages := _read(factory, position):
            for first in range(0, len(messages), transaction_size):
                with factory() as session:
                    for message in messages[first : first + transaction_size]:
                        session.execute(_effect(message))
                        position = message.global_position
                    session.execute(
                        update(_positions)
                        .where(_positions.c.consumer == name)
                        .values(position=position)
                    )
                    session.commit()
        return number / (perf_counter() - begin)

    return side


def _read(factory: sessionmaker[Session], position: int) -> Any:
    with factory() as session:
        function = functions.get_category_messages("order", position + 1, _BATCH)
        return session.execute(select(function)).all()


def _comparison(
    server: Server, stack: ExitStack, what: str, number: int, transaction_size: int
) -> Comparison:
    ours, theirs = (stack.enter_context(_filled(server, number)) for _ in range(2))
    return Comparison(
        what,
        "messages/s",
        {
            OURS: _consumer(ours, number, transaction_size),
            "by hand": _by_hand(theirs, number, transaction_size),
        },
        [Bar("S12", "by hand", 0.95)],
    )


@contextmanager
def consumer_one_by_one(server: Server, size: Size) -> Iterator[Comparison]:
    with ExitStack() as stack:
        yield _comparison(server, stack, "consumer, one message a transaction", size.handled, 1)


@contextmanager
def consumer_in_batches(server: Server, size: Size) -> Iterator[Comparison]:
    what = "consumer, 100 messages a transaction"
    with ExitStack() as stack:
        yield _comparison(server, stack, what, 5 * size.handled, 100)
