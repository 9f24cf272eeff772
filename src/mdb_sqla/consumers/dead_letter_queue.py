"""Messages that consumers have set aside: to look through, to handle again, to leave out.

What could not be handled is set aside together with the later messages of its stream, which keeps
the stream's order. The consumer handles them when no failed one of the stream is left.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.positions import hold
from mdb_sqla.database.execution import WRITES, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store.message_decoder import fetch, select_messages
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages
from mdb_sqla.wake_up.notifier import ANY_CATEGORY, announce
from mdb_sqla.words.argument_checks import integer, text
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "DeadLetter",
    "LeftOut",
    "blocked_streams",
    "dead_letters",
    "due",
    "fail",
    "fail_again",
    "number_set_aside",
    "remove",
    "replay",
    "set_aside",
    "skip",
]

_BIND: dict[str, Any] = {"clause": WRITES}


class LeftOut(Exception):
    """A message was skipped, or lost, while it was handled again, so that is rolled back."""


class DeadLetter(NamedTuple):
    """A message that a consumer has set aside.

    It has `failed`, or it waits for an earlier one of its stream that has. `error` and `traceback`
    are those of the last of its `tries`.
    """

    consumer: str
    global_position: int
    stream_name: str
    position: int
    type: str
    failed: bool
    tries: int
    error: str | None
    traceback: str | None
    set_aside: datetime


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


def blocked_streams(claim: Claim, session: Session) -> set[str]:
    """Return the streams of which a slot's messages are set aside."""
    statement = select(letters.c.stream_name).where(_of(claim)).distinct()
    return set(session.execute(statement, bind_arguments=_BIND).scalars())


def set_aside(claim: Claim, waiting: Iterable[StoredMessage], session: Session) -> None:
    """Let messages wait for those of their streams that are set aside already."""
    rows = [_row(claim, message, failed=False) for message in waiting]
    if rows:
        session.execute(insert(letters).on_conflict_do_nothing(), rows, bind_arguments=_BIND)


def fail(
    claim: Claim, message: StoredMessage, error: BaseException, tries: int, session: Session
) -> None:
    """Set a message aside that could not be handled."""
    told = {"failed": True, "tries": tries, **_told(error)}
    statement = insert(letters).values(_row(claim, message, **told))
    # One that is there already: somebody has set the position back.
    statement = statement.on_conflict_do_update(
        index_elements=[letters.c.consumer, letters.c.global_position], set_=told
    )
    session.execute(statement, bind_arguments=_BIND)


def fail_again(
    claim: Claim, message: StoredMessage, error: BaseException, tries: int, session: Session
) -> None:
    """Note that a message that is set aside could not be handled this time either.

    Raises:
        SlotLost: somebody else has claimed the slot.
        Unconfirmed: the database has forgotten the claim.
    """
    hold(claim, session)
    statement = (
        update(letters)
        .where(_is(claim, message), _is_stored(message))
        .values(failed=True, tries=letters.c.tries + tries, **_told(error))
    )
    session.execute(statement, bind_arguments=_BIND)


def due(claim: Claim, limit: int, session: Session) -> list[StoredMessage]:
    """Return messages of a slot that wait for nothing any more, in global order."""
    failed = letters.alias()
    statement = (
        select_messages(messages)
        .join(letters, letters.c.global_position == messages.c.global_position)
        .where(
            _of(claim),
            ~exists().where(
                failed.c.consumer == letters.c.consumer,
                failed.c.stream_name == letters.c.stream_name,
                failed.c.failed,
            ),
        )
        .order_by(letters.c.global_position)
        .limit(limit)
    )
    return fetch(session, statement, {}, WRITES, with_undecoded=True)


def remove(claim: Claim, message: StoredMessage, session: Session) -> None:
    """Forget a message that has been handled after all.

    Raises:
        SlotLost: somebody else has claimed the slot.
        Unconfirmed: the database has forgotten the claim.
        LeftOut: it was left out in the meantime, or is not stored any more.
    """
    hold(claim, session)
    statement = (
        delete(letters)
        .where(_is(claim, message), _is_stored(message))
        .returning(letters.c.position)
    )
    if session.execute(statement, bind_arguments=_BIND).first() is None:
        raise LeftOut


def _of(claim: Claim) -> ColumnElement[bool]:
    return and_(letters.c.consumer == claim.consumer, letters.c.slot == claim.slot)


def _is(claim: Claim, message: StoredMessage) -> ColumnElement[bool]:
    return and_(_of(claim), letters.c.global_position == message.global_position)


def _is_stored(message: StoredMessage) -> ColumnElement[bool]:
    """Whether the message is still the one that has its global position."""
    return exists().where(
        messages.c.global_position == message.global_position, messages.c.id == message.id
    )


def _told(error: BaseException) -> dict[str, str]:
    def storable(lines: list[str]) -> str:
        text = "".join(lines).strip().replace("\0", "\\0")
        return text.encode("utf-8", "backslashreplace").decode()

    return {
        "error": storable(traceback.format_exception_only(error)),
        "traceback": storable(traceback.format_exception(error)),
    }


def _row(claim: Claim, message: StoredMessage, **values: Any) -> dict[str, Any]:
    return {
        "consumer": claim.consumer,
        "slot": claim.slot,
        "global_position": message.global_position,
        "stream_name": message.stream_name,
        "position": message.position,
        "type": message.type,
        **values,
    }
