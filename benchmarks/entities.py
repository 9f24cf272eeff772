"""Entities, compared with the aggregates of pyeventsourcing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy.orm import sessionmaker

from benchmarks.aggregates import EVENTSOURCING, account_application, transcoded
from benchmarks.comparison import OURS, Bar, Comparison, Experiment
from benchmarks.server import Server, opened_engine
from benchmarks.size import Size
from mdb_sqla import MessageTypes, UnitOfWork
from mdb_sqla.entities import EntityStore, Snapshots, apply

__all__ = ["commands", "entity_conversion", "entity_load"]

EVENTS = 1000
"""Events of the entity that is loaded."""

MANY = 1000
"""Entities that commands are spread over."""

TARGET = 1.5


@dataclass(frozen=True)
class Deposited:
    amount: Decimal
    reference: str
    at: datetime


types = MessageTypes(Deposited)


@dataclass
class Account:
    balance: Decimal = Decimal(0)
    references: list[str] = field(default_factory=list)

    @apply(Deposited)
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount
        self.references = [*self.references[-2:], event.reference]


def deposit() -> Deposited:
    return Deposited(Decimal("12.30"), "invoice 4711", datetime.now(UTC))


@contextmanager
def entity_load(server: Server, size: Size) -> Iterator[Comparison]:
    """Read an entity of 1,000 events, without snapshots or cache."""
    store = EntityStore("account", Account, types=types)
    loads = size.reads
    with (
        opened_engine(server) as engine,
        server.eventsourcing() as url,
        account_application(url) as application,
    ):
        factory = sessionmaker(engine)
        with UnitOfWork(factory) as unit:
            store.get(unit, 1).write(*(deposit() for _ in range(EVENTS)))
            unit.commit()
        aggregate = application.opened(EVENTS - 1)

        def ours() -> float:
            begin = perf_counter()
            for _ in range(loads):
                with UnitOfWork(factory) as unit:
                    assert store.get(unit, 1).version == EVENTS - 1
            return loads * EVENTS / (perf_counter() - begin)

        def theirs() -> float:
            begin = perf_counter()
            for _ in range(loads):
                assert application.load(aggregate) == EVENTS
            return loads * EVENTS / (perf_counter() - begin)

        yield Comparison(
            "entity of 1,000 events",
            "events/s",
            {OURS: ours, EVENTSOURCING: theirs},
            [Bar("", EVENTSOURCING, TARGET)],
        )


@contextmanager
def entity_conversion(server: Server, size: Size) -> Iterator[Comparison]:
    """Convert an event to JSON and back, without a database."""
    events = [deposit() for _ in range(size.writes * 10)]
    decoders = types._text_decoders()

    def ours() -> float:
        begin = perf_counter()
        for event in events:
            message = types.message(event)
            _, _, decode = decoders[message.type]
            decode(orjson.dumps(message.data).decode())
        return len(events) / (perf_counter() - begin)

    yield Comparison(
        "event to JSON and back",
        "events/s",
        {OURS: ours, EVENTSOURCING: lambda: transcoded(size.writes * 10)},
        [Bar("", EVENTSOURCING, TARGET)],
    )


def commands() -> Iterator[Experiment]:
    """Commands on one and on many entities, with and without snapshots and cache."""
    for entities in (1, MANY):
        for what, snapshots, cache in [
            ("", None, None),
            (", snapshots", 100, None),
            (", cache", None, MANY),
            (", snapshots and cache", 100, MANY),
        ]:
            yield _commands(entities, what, snapshots, cache)


def _commands(entities: int, what: str, snapshots: int | None, cache: int | None) -> Experiment:
    @contextmanager
    def measured(server: Server, size: Size) -> Iterator[Comparison]:
        store = EntityStore(
            "account",
            Account,
            types=types,
            snapshots=None if snapshots is None else Snapshots(every=snapshots),
            cache=cache,
        )
        with (
            opened_engine(server) as engine,
            server.eventsourcing() as url,
            account_application(url, snapshots, cache) as application,
        ):
            factory = sessionmaker(engine)
            ids = [uuid4() for _ in range(entities)]
            opened = [application.opened(0) for _ in range(entities)]

            def ours(number: int) -> None:
                with UnitOfWork(factory) as unit:
                    store.get(unit, ids[number % entities]).write(deposit())
                    unit.commit()

            def theirs(number: int) -> None:
                application.deposit(opened[number % entities])

            yield Comparison(
                f"commands on {entities:,} {'entities' if entities > 1 else 'entity'}{what}",
                "commands/s",
                {
                    OURS: lambda: _rate(ours, size.writes),
                    EVENTSOURCING: lambda: _rate(theirs, size.writes),
                },
                [Bar("", EVENTSOURCING, TARGET)],
            )

    words = ["commands", "one" if entities == 1 else "many"]
    words += [name for name, given in (("snapshots", snapshots), ("cache", cache)) if given]
    measured.__name__ = "_".join(words)
    return measured


def _rate(command: Callable[[int], Any], count: int) -> float:
    begin = perf_counter()
    for number in range(count):
        command(number)
    return count / (perf_counter() - begin)
