"""What each consumer reads, registered at its start for other processes to compute its lag."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.tables import consumers

__all__ = ["Reads", "register", "registered"]


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
    """Register what a consumer reads, with one statement that writes only if something changed."""
    row = insert(consumers).values(consumer=consumer, **reads._asdict())
    new: dict[str, Any] = {name: row.excluded[name] for name in Reads._fields}
    is_changed = or_(*(consumers.c[name].is_distinct_from(new[name]) for name in new))
    statement = row.on_conflict_do_update(
        index_elements=[consumers.c.consumer],
        set_={**new, "updated_at": func.clock_timestamp()},
        where=is_changed,
    )
    session.execute(statement, bind_arguments={"clause": WRITES})


def registered(db: Database) -> dict[str, Reads]:
    """Return what each consumer reads, by consumer name.

    Raises:
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    columns = [consumers.c[name] for name in ("consumer", *Reads._fields)]
    rows = execute(db, select(*columns).order_by(consumers.c.consumer), {}, WRITES)
    return {row.consumer: Reads._make(row[1:]) for row in rows}
