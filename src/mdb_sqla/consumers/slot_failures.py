"""What a consumer records of a slot's messages that it could not handle, and of those behind them.

All of it is done in the transactions of whoever has claimed the slot.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.positions import hold
from mdb_sqla.database.execution import WRITES
from mdb_sqla.store.message_decoder import fetch, select_messages
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "LeftOut",
    "blocked_streams",
    "due",
    "fail",
    "fail_again",
    "remove",
    "set_aside",
]

_BIND: dict[str, Any] = {"clause": WRITES}


class LeftOut(Exception):
    """A message was skipped, or lost, while it was handled again, so that is rolled back."""


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
    claim: Claim, message: StoredMessage, error: BaseException, attempts: int, session: Session
) -> None:
    """Set a message aside that could not be handled."""
    told = {"failed": True, "attempts": attempts, **_told(error)}
    statement = insert(letters).values(_row(claim, message, **told))
    # One that is there already: somebody has set the position back.
    statement = statement.on_conflict_do_update(
        index_elements=[letters.c.consumer, letters.c.global_position], set_=told
    )
    session.execute(statement, bind_arguments=_BIND)


def fail_again(
    claim: Claim, message: StoredMessage, error: BaseException, attempts: int, session: Session
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
        .values(failed=True, attempts=letters.c.attempts + attempts, **_told(error))
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
