"""Marks: messages that were read, remembered to detect a rewound store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, func, literal, select, true, tuple_

from mdb_sqla import tables
from mdb_sqla.column_types import uuid_of
from mdb_sqla.database.citus import CATEGORY, is_on_citus
from mdb_sqla.database.execution import Database, execute
from mdb_sqla.words.stream_name import StreamName

__all__ = ["Mark", "marks_up_to", "stored"]


_deleted = tables.deleted_positions
_log = tables.deletions

_STEPS = 63


class Mark(NamedTuple):
    """A message up to which everything was read.

    As long as it exists at its position, so do all messages before it, because a rewound store
    loses its end.

    Attributes:
        position: the position that the reader counts by.
        global_position: the message's global position.
        id: the message's id.
        category: the category of the message's stream.
    """

    position: int
    global_position: int
    id: UUID
    category: str


def marks_up_to(db: Database, end: int, name: StreamName | None) -> list[Mark]:
    """Return the newest message up to a position, and exponentially spaced ones before it.

    Unless the store is on Citus, those of a category may be messages of other categories.

    Args:
        db: a session or connection.
        end: the position in the stream, or the global position without a stream.
        name: the stream or the category; None for all messages.
    """
    column = tables.messages.c
    stream_name = None if name is None or name.is_category else name
    position = column.global_position if stream_name is None else column.position
    one = select(position.label("counted"), column.global_position, column.id, column.stream_name)
    if stream_name is not None:
        one = one.where(column.stream_name == stream_name)
    if name is not None and is_on_citus(db):
        # Every position is there; Citus can't execute the other statement.
        spaced = position.in_([end + 1 - 2**step for step in range(_STEPS)])
        statement = one.where(CATEGORY.in_([name.category]), spaced).order_by(position)
    else:
        statement = _spaced(one, position, end)
    rows = execute(db, statement, {}, tables.messages)
    return [
        Mark(row.counted, row.global_position, uuid_of(row.id), row.stream_name.partition("-")[0])
        for row in rows
    ]


def _spaced(one: Select[Any], position: ColumnElement[int], end: int) -> Select[Any]:
    steps = func.generate_series(0, _STEPS - 1).table_valued("step").render_derived()
    back = literal(1, BigInteger).op("<<")(steps.c.step)
    one = one.where(position <= end + 1 - back).order_by(position.desc()).limit(1)
    found = one.lateral("mark")
    statement = select(found).select_from(steps.join(found, true())).distinct()
    return statement.order_by(found.c.counted)


def stored(db: Database, marks: Sequence[Mark]) -> list[Mark]:
    """Return the marks whose messages still exist at their positions, or were deleted on purpose.

    A store that records the deletion, by a policy or an erasure, is newer than the mark.
    """
    column = tables.messages.c
    places = [(mark.global_position, mark.id) for mark in marks]
    statement = select(column.id).where(tuple_(column.global_position, column.id).in_(places))
    on_citus = is_on_citus(db)
    if on_citus:
        statement = statement.where(CATEGORY.in_({mark.category for mark in marks}))
    rows = execute(db, statement, {}, tables.messages)
    left = {uuid_of(row.id) for row in rows}
    if on_citus or all(mark.id in left for mark in marks):
        return [mark for mark in marks if mark.id in left]
    rows = execute(db, select(_deleted.c.category, _deleted.c.global_position), {}, tables.messages)
    ranges = [(row.category, 0, row.global_position) for row in rows]
    erased = select(_log.c.category, _log.c.first_global_position, _log.c.last_global_position)
    rows = execute(db, erased.where(_log.c.kind == "stream"), {}, tables.messages)
    ranges += [(row.category, row.first_global_position, row.last_global_position) for row in rows]
    return [
        mark
        for mark in marks
        if mark.id in left
        or any(
            category == mark.category and first <= mark.global_position <= last
            for category, first, last in ranges
        )
    ]
