"""The size of the table of messages, and PostgreSQL's estimates of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, cast, func, select
from sqlalchemy.dialects.postgresql import REGCLASS

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.tables import messages

__all__ = ["Rows", "Size", "estimated_rows", "table_size"]


@dataclass(frozen=True)
class Size:
    """The size of the table in bytes; `total` includes indexes and TOAST."""

    table: int
    indexes: int
    total: int


class Rows(NamedTuple):
    """PostgreSQL's estimates of the rows of the table.

    Attributes:
        live: the number of messages.
        dead: the number of deleted or updated rows whose space is not reusable until the next
            vacuum.
    """

    live: int
    dead: int


def table_size(db: Database) -> Size:
    """Return the size of the table, which is exact."""
    table = _table(db)
    sizes = func.pg_relation_size, func.pg_indexes_size, func.pg_total_relation_size
    (row,) = execute(db, select(*(size(table) for size in sizes)), {}, WRITES)
    return Size(*map(int, row))


def estimated_rows(db: Database) -> Rows:
    """Return the estimates of the cumulative statistics system."""
    table = _table(db)
    numbers = func.pg_stat_get_live_tuples(table), func.pg_stat_get_dead_tuples(table)
    (row,) = execute(db, select(*numbers), {}, WRITES)
    return Rows._make(map(int, row))


def _table(db: Database) -> ColumnElement[object]:
    return cast(qualified(connection_of(db), messages.name), REGCLASS)
