"""Whether the messages of a store keep the rules that every reader relies on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, func, literal_column, or_, select, text
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.sql.functions import Function

from mdb_sqla.admin.verification.schema_differences import Difference
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import messages

__all__ = ["MOST", "consumers", "ids", "sequence", "streams"]

MOST = 10
"""How many violations of a rule are told."""


_BY_HAND = (
    "Messages were deleted or written by hand; restore them from a backup, or write the stream "
    "anew under another name"
)


def streams(connection: Connection) -> Iterator[Difference]:
    """Find where positions aren't gapless from 0, or global positions don't ascend with them.

    It reads the table once and sorts it: an index whose order is broken hides nothing.
    """
    # By bytes, which is faster than by the rules of a language, and the same everywhere.
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
    expected = func.coalesce(before.c.last + 1, 0)
    broken = or_(before.c.position != expected, before.c.global_position <= before.c.last_global)
    for row in connection.execute(select(before, expected.label("due")).where(broken).limit(MOST)):
        where = f"Stream {row.stream_name}"
        if row.position != row.due:
            yield Difference(
                where, f"position {row.position} comes where {row.due} is due", _BY_HAND
            )
        else:
            what = (
                f"position {row.position} has global position {row.global_position}, "
                f"the one before it {row.last_global}"
            )
            yield Difference(where, what, _BY_HAND)


def ids(connection: Connection) -> Iterator[Difference]:
    """Find ids that several messages have."""
    statement = select(messages.c.id, func.count().label("number")).group_by(messages.c.id)
    for row in connection.execute(statement.having(func.count() > 1).limit(MOST)):
        what = f"{row.number} messages have it"
        yield Difference(f"Id {row.id}", what, "Remove all but one, then REINDEX INDEX messages_id")


def sequence(connection: Connection, name: str) -> Iterator[Difference]:
    """Find whether the sequence is behind the messages, so that a write would fail.

    Args:
        connection: at READ COMMITTED, for what is asked first must be the older.
        name: the sequence, qualified and quoted.
    """
    newest: int = connection.scalars(select(_NEWEST)).one()
    drawn: int = connection.scalars(select(_last_drawn(name))).one()
    if drawn < newest:
        yield Difference(
            f"Sequence {name}",
            f"its last value is {drawn}, and there is a message at global position {newest}",
            f"SELECT setval('{name}', {newest});",
        )


def consumers(connection: Connection, name: str) -> Iterator[Difference]:
    """Find consumers whose position is beyond all messages, as after a restore of an older backup.

    Args:
        connection: at READ COMMITTED, for what is asked first must be the older.
        name: the sequence, qualified and quoted.
    """
    chosen = select(slots.c.consumer, slots.c.slot, slots.c.position)
    positions = connection.execute(chosen.order_by(slots.c.consumer, slots.c.slot)).all()
    last: int = connection.scalars(select(func.greatest(_NEWEST, _last_drawn(name)))).one()
    for consumer, slot, position in positions:
        if position > last:
            yield Difference(
                f"Consumer {consumer}, slot {slot}",
                f"its position is {position}, and the last global position {last}",
                "It would skip what is written up to there: set its position in consumer_slots",
            )


_NEWEST = select(func.coalesce(func.max(messages.c.global_position), 0)).scalar_subquery()


def _last_drawn(name: str) -> Function[int]:
    # NULL where nothing was drawn since the sequence was set to begin with a number.
    first = select(literal_column("last_value", BigInteger)).select_from(text(name))
    return func.coalesce(
        func.pg_sequence_last_value(cast(name, REGCLASS)), first.scalar_subquery() - 1
    )
