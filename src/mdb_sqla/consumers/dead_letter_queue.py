"""Messages that consumers have set aside: to look through, to handle again, to leave out.

What could not be handled is set aside together with the later messages of its stream, which keeps
the stream's order. The consumer handles them when no failed one of the stream is left.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import WRITES, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.wake_up.channel import ANY_CATEGORY
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.argument_checks import integer, text

__all__ = ["DeadLetter", "dead_letters", "number_set_aside", "replay", "skip"]


class DeadLetter(NamedTuple):
    """A message that a consumer has set aside.

    It has `failed`, or it waits for an earlier one of its stream that has. `error` and `traceback`
    are those of the last of its `attempts`.
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
    """Return what a consumer has set aside, or all of them have, in global order.

    Raises:
        InvalidArgument: what is passed is no session or connection, or no name.
    """
    statement = select(*_COLUMNS).order_by(letters.c.consumer, letters.c.global_position)
    if consumer is not None:
        statement = statement.where(letters.c.consumer == _consumer(consumer))
    return [DeadLetter._make(row) for row in database(db).execute(statement)]


def number_set_aside(db: Session | Connection, consumer: str, slot: int | None = None) -> int:
    """Return how many messages a consumer has set aside, in one slot or in all of them.

    Raises:
        StoreNotInstalled: there is no store in the database.
    """
    statement = select(func.count()).where(letters.c.consumer == consumer)
    if slot is not None:
        statement = statement.where(letters.c.slot == slot)
    ((number,),) = execute(db, statement, {}, WRITES)
    return int(number)


def replay(db: Session | Connection, consumer: str, stream_name: str | None = None) -> int:
    """Have a consumer handle again what has failed, of one stream or of all, and what waits for it.

    Returns:
        How many had failed. The consumer takes to them when the transaction is committed.

    Raises:
        InvalidArgument: what is passed is no session or connection, or no name.
    """
    statement = (
        update(letters)
        .where(letters.c.consumer == _consumer(consumer), letters.c.failed)
        .values(failed=False)
        .returning(letters.c.global_position)
    )
    if stream_name is not None:
        # Whatever is stored, also what another client has written, such as `-7`.
        statement = statement.where(letters.c.stream_name == text("stream_name", stream_name))
    db = database(db)
    number = len(db.execute(statement).all())
    announce(connection_of(db), [ANY_CATEGORY])
    return number


def skip(db: Session | Connection, consumer: str, global_position: int) -> None:
    """Leave a message out for good, and have the later ones of its stream handled.

    Raises:
        InvalidArgument: the consumer has not set such a message aside; or what is passed is no
            session or connection, no name, or no position.
    """
    position = integer("global_position", global_position, 0)
    statement = (
        delete(letters)
        .where(letters.c.consumer == _consumer(consumer), letters.c.global_position == position)
        .returning(letters.c.global_position)
    )
    db = database(db)
    if db.execute(statement).first() is None:
        raise InvalidArgument(f"Consumer {consumer!r} has set no message {global_position} aside")
    announce(connection_of(db), [ANY_CATEGORY])


def _consumer(name: str) -> str:
    return text("A consumer's name", name)
