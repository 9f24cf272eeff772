"""Checks of the rules for messages that readers rely on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, Connection, case, cast, func, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.sql.functions import Function

from mdb_sqla import functions
from mdb_sqla.admin.verification.schema_differences import Difference
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import deleted_positions, messages, stream_heads

__all__ = ["MOST", "categories", "consumers", "ids", "sequence", "streams"]

MOST = 10
"""The maximum number of violations reported per rule."""


_EDITED = (
    "Messages were deleted or inserted manually; restore them from a backup, or rewrite the stream "
    "under another name"
)


def streams(connection: Connection, *, deletions: bool | None) -> Iterator[Difference]:
    """Find streams with gaps in their positions, or with global positions out of order.

    Scans and sorts the table, so a corrupt index hides nothing.

    Args:
        connection: a connection.
        deletions: whether the store records which messages were deleted; None if it does, but the
            role may not read that. Then a stream may begin at any position.
    """
    # Sorted in byte order, which is faster and independent of the locale.
    of_stream: dict[str, Any] = {
        "partition_by": messages.c.stream_name.collate("C"),
        "order_by": messages.c.position,
    }
    before = (
        select(
            messages.c.stream_name,
            messages.c.position,
            messages.c.global_position,
            func.lag(messages.c.position).over(**of_stream).label("last"),
            func.lag(messages.c.global_position).over(**of_stream).label("last_global"),
        )
    ).subquery()
    first: Any = 0 if deletions is False else before.c.position
    found: Any = before
    if deletions:
        heads, marks = stream_heads, deleted_positions
        of_category = marks.c.category == functions.category(before.c.stream_name)
        found = before.outerjoin(heads, heads.c.stream_name == before.c.stream_name).outerjoin(
            marks, of_category
        )
        # Without versions, a stream may have begun anywhere.
        first = case(
            (marks.c.keeps_versions.is_(False), before.c.position),
            else_=func.coalesce(heads.c.version + 1, 0),
        )
    expected = func.coalesce(before.c.last + 1, first)
    broken = or_(before.c.position != expected, before.c.global_position <= before.c.last_global)
    statement = select(before, expected.label("next")).select_from(found).where(broken).limit(MOST)
    for row in connection.execute(statement):
        where = f"Stream {row.stream_name}"
        if row.position != row.next:
            yield Difference(where, f"has position {row.position} instead of {row.next}", _EDITED)
        else:
            what = (
                f"position {row.position} has global position {row.global_position}, but the "
                f"previous one has {row.last_global}"
            )
            yield Difference(where, what, _EDITED)


def categories(connection: Connection) -> Iterator[Difference]:
    """Find categories and streams of a store on Citus with gaps in their positions.

    Each begins at its first position, because no message is ever deleted. Unique keys exclude that
    a position occurs twice, and each node adds up its own messages.
    """
    category = functions.category(messages.c.stream_name)
    for kind, key, position, first in (
        ("Category", category, messages.c.global_position, 1),
        ("Stream", messages.c.stream_name, messages.c.position, 0),
    ):
        number, least, most = func.count(), func.min(position), func.max(position)
        statement = select(key.label("key"), number, least, most).group_by(literal_column("key"))
        broken = or_(least != first, most != number + first - 1)
        for row in connection.execute(statement.having(broken).limit(MOST)):
            what = f"has {row[1]} messages at positions {row[2]} to {row[3]}"
            yield Difference(f"{kind} {row[0]}", what, _EDITED)


def ids(connection: Connection) -> Iterator[Difference]:
    """Find ids that are not unique."""
    statement = select(messages.c.id, func.count().label("number")).group_by(messages.c.id)
    for row in connection.execute(statement.having(func.count() > 1).limit(MOST)):
        what = f"is the id of {row.number} messages"
        yield Difference(f"Id {row.id}", what, "Delete all but one, then REINDEX INDEX messages_id")


def sequence(connection: Connection, name: str) -> Iterator[Difference]:
    """Find a sequence that is behind the messages, so writes would fail.

    Args:
        connection: a connection at READ COMMITTED, where the second query sees a newer snapshot.
        name: the qualified and quoted name of the sequence.
    """
    newest: int = connection.scalars(select(_NEWEST)).one()
    drawn: int = connection.scalars(select(_last_value(name))).one()
    if drawn < newest:
        yield Difference(
            f"Sequence {name}",
            f"its last value {drawn} is less than the last global position {newest}",
            f"SELECT setval('{name}', {newest});",
        )


def consumers(connection: Connection, name: str) -> Iterator[Difference]:
    """Find consumers whose position is beyond the end, for example after a restore from a backup.

    Args:
        connection: a connection at READ COMMITTED, where the second query sees a newer snapshot.
        name: the qualified and quoted name of the sequence.
    """
    chosen = select(slots.c.consumer, slots.c.slot, slots.c.position)
    positions = connection.execute(chosen.order_by(slots.c.consumer, slots.c.slot)).all()
    last: int = connection.scalars(select(func.greatest(_NEWEST, _last_value(name)))).one()
    for consumer, slot, position in positions:
        if position > last:
            yield Difference(
                f"Consumer {consumer}, slot {slot}",
                f"its position {position} is beyond the last global position {last}",
                "The consumer would skip new messages; reset its position with mdb reset-consumer",
            )


_NEWEST = select(func.coalesce(func.max(messages.c.global_position), 0)).scalar_subquery()


def _last_value(name: str) -> Function[int]:
    # pg_sequence_last_value() is NULL before the first nextval() after a RESTART.
    first = select(literal_column("last_value", BigInteger)).select_from(text(name))
    return func.coalesce(
        func.pg_sequence_last_value(cast(name, REGCLASS)), first.scalar_subquery() - 1
    )
