"""What each consumer reads, registered at its start for other processes to compute its lag."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.tables import consumers

__all__ = [
    "WITHOUT_CONSUMER",
    "Reads",
    "is_consumer",
    "register",
    "registered",
    "registered_without_consumer",
]

WITHOUT_CONSUMER = 2**63 - 1
"""The start of what is registered but has no consumer: a projection that is maintained inline."""


class Reads(NamedTuple):
    """What a consumer reads.

    Attributes:
        categories: the categories; empty for all.
        types: the types that it handles; None for all.
        correlation: the category of the messages' correlation streams; None for any.
        condition: the SQL condition. Never execute it as another user.
        start: the global position that it starts at if it has never run.
    """

    categories: list[str]
    types: list[str] | None
    correlation: str | None
    condition: str | None
    start: int


def register(session: Session, consumer: str, reads: Reads) -> None:
    """Register what a consumer reads, with one statement that writes only if something changed.

    Raises:
        NotOffered: the store is distributed with Citus.
    """
    refuse_on_citus(session, Unoffered.CONSUMERS)
    row = insert(consumers).values(consumer=consumer, **reads._asdict())
    new: dict[str, Any] = {name: row.excluded[name] for name in Reads._fields}
    is_changed = or_(*(consumers.c[name].is_distinct_from(new[name]) for name in new))
    statement = row.on_conflict_do_update(
        index_elements=[consumers.c.consumer],
        set_={**new, "updated_at": func.clock_timestamp()},
        where=is_changed,
    )
    session.execute(statement, bind_arguments={"clause": WRITES})


def is_consumer() -> ColumnElement[bool]:
    """Return the condition that a registration is that of a consumer."""
    return consumers.c.start < WITHOUT_CONSUMER


def registered(db: Database) -> dict[str, Reads]:
    """Return what each consumer reads, by consumer name.

    Raises:
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    refuse_on_citus(db, Unoffered.CONSUMERS)
    columns = [consumers.c[name] for name in ("consumer", *Reads._fields)]
    statement = select(*columns).where(is_consumer()).order_by(consumers.c.consumer)
    rows = execute(db, statement, {}, WRITES)
    return {row.consumer: Reads._make(row[1:]) for row in rows}


def registered_without_consumer(db: Database) -> list[str]:
    """Return the names of what is registered but has no consumer."""
    statement = select(consumers.c.consumer).where(~is_consumer())
    return [row.consumer for row in execute(db, statement, {}, WRITES)]
