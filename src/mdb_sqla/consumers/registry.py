"""What each consumer reads, as it told when it began; so that its lag can be told without it."""

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
        categories: no category stands for all.
        types: the types that it handles; None for any.
        correlation: the category that the messages' correlation streams are of; None for any.
        condition: its SQL condition. It is not to be executed for anybody else.
        start: the global position that it begins with where it never ran.
    """

    categories: list[str]
    types: list[str] | None
    correlation: str | None
    condition: str | None
    start: int


def register(session: Session, consumer: str, reads: Reads) -> None:
    """Tell what a consumer reads, in one statement; nothing is written where it is told already."""
    row = insert(consumers).values(consumer=consumer, **reads._asdict())
    told: dict[str, Any] = {name: row.excluded[name] for name in Reads._fields}
    is_changed = or_(*(consumers.c[name].is_distinct_from(told[name]) for name in told))
    statement = row.on_conflict_do_update(
        index_elements=[consumers.c.consumer],
        set_={**told, "updated_at": func.clock_timestamp()},
        where=is_changed,
    )
    session.execute(statement, bind_arguments={"clause": WRITES})


def registered(db: Database) -> dict[str, Reads]:
    """Return what consumers read, by their names.

    Raises:
        StoreNotInstalled: there is no store in the database, or it is not up to date.
    """
    columns = [consumers.c[name] for name in ("consumer", *Reads._fields)]
    rows = execute(db, select(*columns).order_by(consumers.c.consumer), {}, WRITES)
    return {row.consumer: Reads._make(row[1:]) for row in rows}
