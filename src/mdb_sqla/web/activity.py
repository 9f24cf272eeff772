"""The number of messages by minute, from a sample of the last hour."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, func, select, type_coerce

from mdb_sqla.admin.sampled_counts import SETTINGS, Sample
from mdb_sqla.column_types import UTCDateTime
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import messages
from mdb_sqla.web.message_pages import Source, position_at

__all__ = ["MINUTES", "Activity", "activity"]

MINUTES = 60
"""The number of minutes to count, including the current one."""


class Activity(NamedTuple):
    """The number of messages by minute.

    Attributes:
        minutes: the number of messages of each minute, oldest first.
        is_exact: whether the messages were counted, instead of estimated from a sample.
    """

    minutes: list[int]
    is_exact: bool

    @property
    def last(self) -> int:
        """The number of messages in the last complete minute."""
        return self.minutes[-2]


def activity(db: Connection) -> Activity:
    """Return the number of messages by minute. Statements of the transaction get new settings."""
    now = type_coerce(func.date_trunc("minute", func.timezone("utc", func.now())), UTCDateTime)
    last_minute: datetime = execute(db, select(now), {}, WRITES)[0][0]
    first_minute = last_minute - timedelta(minutes=MINUTES - 1)
    first = position_at(db, Source(), first_minute)
    if first is None:
        return Activity([0] * MINUTES, is_exact=True)
    last = execute(db, select(func.max(messages.c.global_position)), {}, WRITES)[0][0]
    execute(
        db, select(*(func.set_config(*setting, True) for setting in SETTINGS.items())), {}, WRITES
    )
    sample = Sample(first, last)
    counted = {
        row.minute: row.messages for row in execute(db, sample.minutes(first_minute), {}, WRITES)
    }
    minutes = [first_minute + timedelta(minutes=number) for number in range(MINUTES)]
    return Activity([counted.get(minute, 0) for minute in minutes], is_exact=sample.every == 1)
