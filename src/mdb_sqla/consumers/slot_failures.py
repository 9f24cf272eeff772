"""The dead letters of a slot: failed messages, and messages that wait behind them.

All functions are called in transactions of the slot's owner.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.saved_positions import lock
from mdb_sqla.database.execution import WRITES
from mdb_sqla.store.message_decoder import fetch, select_messages
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "DeadLetterGone",
    "add_blocked",
    "add_failed",
    "blocked_streams",
    "record_failed_replay",
    "remove",
    "replayable",
]

_BIND: dict[str, Any] = {"clause": WRITES}


class DeadLetterGone(Exception):
    """A dead letter was skipped or lost during its replay, which is rolled back."""


def blocked_streams(claim: Claim, session: Session) -> set[str]:
    """Return the streams in which a slot has dead letters."""
    statement = select(letters.c.stream_name).where(_of(claim)).distinct()
    return set(session.execute(statement, bind_arguments=_BIND).scalars())


def add_blocked(claim: Claim, blocked: Iterable[StoredMessage], session: Session) -> None:
    """Dead-letter messages that must wait behind earlier dead letters of their streams."""
    rows = [_row(claim, message, failed=False) for message in blocked]
    if rows:
        session.execute(insert(letters).on_conflict_do_nothing(), rows, bind_arguments=_BIND)


def add_failed(
    claim: Claim, message: StoredMessage, error: BaseException, attempts: int, session: Session
) -> None:
    """Dead-letter a message that could not be handled."""
    failure = {"failed": True, "attempts": attempts, **_error_columns(error)}
    statement = insert(letters).values(_row(claim, message, **failure))
    # The row may exist if the position was reset.
    statement = statement.on_conflict_do_update(
        index_elements=[letters.c.consumer, letters.c.global_position], set_=failure
    )
    session.execute(statement, bind_arguments=_BIND)


def record_failed_replay(
    claim: Claim, message: StoredMessage, error: BaseException, attempts: int, session: Session
) -> bool:
    """Record that the replay of a dead letter failed, and return whether the consumer is paused.

    Raises:
        SlotLost: another process has claimed the slot.
        StateMismatch: the database has lost the claim.
    """
    is_paused = lock(claim, session)
    statement = (
        update(letters)
        .where(_is(claim, message), _is_stored(message))
        .values(failed=True, attempts=letters.c.attempts + attempts, **_error_columns(error))
    )
    session.execute(statement, bind_arguments=_BIND)
    return is_paused


def replayable(claim: Claim, limit: int, session: Session) -> list[StoredMessage]:
    """Return a slot's dead letters in streams without failed ones, in global order."""
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


def remove(claim: Claim, message: StoredMessage, session: Session) -> bool:
    """Delete a dead letter that has been handled, and return whether the consumer is paused.

    Raises:
        SlotLost: another process has claimed the slot.
        StateMismatch: the database has lost the claim.
        DeadLetterGone: the dead letter was skipped, or its message is no longer stored.
    """
    is_paused = lock(claim, session)
    statement = (
        delete(letters)
        .where(_is(claim, message), _is_stored(message))
        .returning(letters.c.position)
    )
    if session.execute(statement, bind_arguments=_BIND).first() is None:
        raise DeadLetterGone
    return is_paused


def _of(claim: Claim) -> ColumnElement[bool]:
    return and_(letters.c.consumer == claim.consumer, letters.c.slot == claim.slot)


def _is(claim: Claim, message: StoredMessage) -> ColumnElement[bool]:
    return and_(_of(claim), letters.c.global_position == message.global_position)


def _is_stored(message: StoredMessage) -> ColumnElement[bool]:
    """Return an expression: whether the message is still the one at its global position."""
    return exists().where(
        messages.c.global_position == message.global_position, messages.c.id == message.id
    )


def _error_columns(error: BaseException) -> dict[str, str]:
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
