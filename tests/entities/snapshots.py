"""Accounts with snapshots, and what is recorded and read of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import MessageStore, UnitOfWork
from mdb_sqla.entities import EntityStore
from tests.entities.accounts import Deposited, read

SNAPSHOTS = "account:snapshot-1"


def pay(engine: Engine, store: EntityStore[Any], *amounts: int) -> None:
    """Deposit amounts, each in a transaction of its own."""
    for amount in amounts:
        with UnitOfWork(sessionmaker(engine)) as unit:
            store.get(unit, 1).write(Deposited(Decimal(amount)))
            unit.commit()


def recorded(engine: Engine, stream: str = SNAPSHOTS) -> list[Any]:
    with Session(engine) as session:
        return MessageStore(session).read_stream(stream)


def rows_read(engine: Engine, store: EntityStore[Any]) -> int:
    """The number of events and snapshots that a read gets from the server."""
    numbers: list[int] = []

    def count(_connection: Any, cursor: Any, *_others: Any) -> None:
        numbers.append(cursor.rowcount)

    event.listen(engine, "after_cursor_execute", count)
    try:
        read(engine, store)
    finally:
        event.remove(engine, "after_cursor_execute", count)
    return sum(numbers)
