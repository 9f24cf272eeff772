"""The dead-letter queue of consumers: list, replay and skip dead letters.

A message that could not be handled is dead-lettered together with the later messages of its stream,
which preserves the stream's order. The consumer handles those once no failed message is left in the
stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Update,
    and_,
    any_,
    cast,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.orm import Session

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.operation_log import record
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.wake_up.channel import ANY_CATEGORY
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.argument_checks import integer, text

__all__ = [
    "DeadLetter",
    "count_dead_letters",
    "dead_letter_numbers",
    "dead_letters",
    "replay",
    "replay_messages",
    "skip",
    "skip_messages",
]


class DeadLetter(NamedTuple):
    """A message in the dead-letter queue of a consumer.

    Either it has `failed`, or it waits behind an earlier message of its stream that has. `error`
    and `traceback` are those of the last of its `attempts`.
    """

    consumer: str
    global_position: int
    stream_name: str
    position: int
    type: str
    failed: bool
    attempts: int
    error: str | None
    traceback: str | None
    dead_lettered_at: datetime


_COLUMNS = [letters.c[name] for name in DeadLetter._fields]


def dead_letters(db: Session | Connection, consumer: str | None = None) -> list[DeadLetter]:
    """Return the dead letters of a consumer, or of all consumers, in global order.

    Raises:
        InvalidArgument: `db` is not a session or connection, or the name is invalid.
        NotOffered: the store is distributed with Citus.
    """
    statement = select(*_COLUMNS).order_by(letters.c.consumer, letters.c.global_position)
    if consumer is not None:
        statement = statement.where(letters.c.consumer == _consumer(consumer))
    db = database(db)
    refuse_on_citus(db, Unoffered.CONSUMERS)
    return [DeadLetter._make(row) for row in db.execute(statement)]


def count_dead_letters(db: Session | Connection, consumer: str, slot: int | None = None) -> int:
    """Return the number of a consumer's dead letters, in one slot or in all.

    Raises:
        StoreNotInstalled: the database has no store.
    """
    statement = select(func.count()).where(letters.c.consumer == consumer)
    if slot is not None:
        statement = statement.where(letters.c.slot == slot)
    ((number,),) = execute(db, statement, {}, WRITES)
    return int(number)


def dead_letter_numbers(db: Database) -> Counter[str]:
    """Return the number of dead letters of each consumer that has any.

    Raises:
        StoreNotInstalled: the database has no store.
    """
    number = func.count().label("number")
    statement = select(letters.c.consumer, number).group_by(letters.c.consumer)
    return Counter({row.consumer: row.number for row in execute(db, statement, {}, WRITES)})


def replay(
    db: Session | Connection,
    consumer: str,
    stream_name: str | None = None,
    *,
    by: str | None = None,
) -> int:
    """Replay a consumer's failed messages, of one stream or of all, and those waiting behind them.

    The consumer handles them again once the transaction is committed. If there are any, the replay
    is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        stream_name: only the messages of this stream.
        by: who does it, for the log of operations; by default the database role.

    Returns:
        The number of failed messages.

    Raises:
        InvalidArgument: `db` is not a session or connection, or a name is invalid.
        NotOffered: the store is distributed with Citus.
    """
    statement = (
        update(letters)
        .where(letters.c.consumer == _consumer(consumer), letters.c.failed)
        .values(failed=False)
        .returning(letters.c.global_position)
    )
    if stream_name is not None:
        # Accepts any stored name, such as `-7`, which another client may have written.
        statement = statement.where(letters.c.stream_name == text("stream_name", stream_name))
    db = database(db)
    refuse_on_citus(db, Unoffered.CONSUMERS)
    number = len(db.execute(statement).all())
    if number:
        details = {"stream_name": stream_name, "failed_messages": number}
        record(db, "replay", consumer, details=details, by=by)
    announce(connection_of(db), [ANY_CATEGORY])
    return number


def skip(
    db: Session | Connection, consumer: str, global_position: int, *, by: str | None = None
) -> None:
    """Skip a dead letter permanently; the consumer handles the later messages of its stream.

    It is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        global_position: the global position of the message.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        InvalidArgument: the consumer has no such dead letter; `db` is not a session or connection;
            or the name or the position is invalid.
        NotOffered: the store is distributed with Citus.
    """
    position = integer("global_position", global_position, 0)
    statement = (
        delete(letters)
        .where(letters.c.consumer == _consumer(consumer), letters.c.global_position == position)
        .returning(letters.c.stream_name, letters.c.type)
    )
    db = database(db)
    refuse_on_citus(db, Unoffered.CONSUMERS)
    row = db.execute(statement).first()
    if row is None:
        raise InvalidArgument(
            f"Consumer {consumer!r} has no dead letter at global position {global_position}"
        )
    details = {"global_position": position, "stream_name": row.stream_name, "type": row.type}
    record(db, "skip", consumer, details=details, by=by)
    announce(connection_of(db), [ANY_CATEGORY])


def replay_messages(
    db: Database,
    consumer: str,
    positions: Sequence[int],
    *,
    by: str,
    details: Mapping[str, Any],
) -> None:
    """Replay failed messages, and those that wait behind them, as one operation.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        positions: the global positions of the failed messages.
        by: who does it, for the log of operations.
        details: what they have in common, for the log.
    """
    statement = update(letters).where(_are(consumer, positions), letters.c.failed)
    _change(db, "replay", consumer, statement.values(failed=False), by, details)


def skip_messages(
    db: Database,
    consumer: str,
    positions: Sequence[int],
    *,
    by: str,
    details: Mapping[str, Any],
) -> None:
    """Skip dead letters permanently, as one operation. See `replay_messages`."""
    _change(db, "skip", consumer, delete(letters).where(_are(consumer, positions)), by, details)


def _are(consumer: str, positions: Sequence[int]) -> ColumnElement[bool]:
    among = any_(cast(list(positions), ARRAY(BigInteger)))
    return and_(letters.c.consumer == consumer, letters.c.global_position == among)


def _change(
    db: Database,
    kind: str,
    consumer: str,
    statement: Update | Delete,
    by: str,
    details: Mapping[str, Any],
) -> None:
    changed = execute(db, statement.returning(letters.c.global_position), {}, WRITES)
    positions = sorted(row.global_position for row in changed)
    record(db, kind, consumer, details={**details, "global_positions": positions}, by=by)
    announce(connection_of(db), [ANY_CATEGORY])


def _consumer(name: str) -> str:
    return text("consumer", name)
