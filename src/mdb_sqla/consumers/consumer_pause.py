"""The pause of a consumer in the database, which applies to all processes that run it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, exists, select
from sqlalchemy.orm import Session

from mdb_sqla.database.execution import WRITES
from mdb_sqla.tables import consumers

__all__ = ["ConsumerPause", "is_paused", "read_pause"]

_BIND: dict[str, Any] = {"clause": WRITES}


class ConsumerPause(NamedTuple):
    """Since when a consumer is paused, and who paused it."""

    paused_at: datetime
    paused_by: str


_IS_PAUSED = (
    exists()
    .where(consumers.c.consumer == bindparam("of_consumer"), consumers.c.paused_at.is_not(None))
    .label("is_paused")
)
_PAUSE = select(consumers.c.paused_at, consumers.c.paused_by).where(
    consumers.c.consumer == bindparam("of_consumer"), consumers.c.paused_at.is_not(None)
)


def is_paused() -> ColumnElement[bool]:
    """Return an expression: whether the consumer is paused.

    Statements that a consumer executes anyway include it, so that it costs no round trip. The
    parameter `of_consumer` has the consumer's name, as for a claim.
    """
    return _IS_PAUSED


def read_pause(consumer: str, session: Session) -> ConsumerPause | None:
    """Return the pause of a consumer; None if it is not paused."""
    row = session.execute(_PAUSE, {"of_consumer": consumer}, bind_arguments=_BIND).one_or_none()
    return None if row is None else ConsumerPause._make(row)
