"""Counts from a sample of one in n global positions, in a time independent of the store's size."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from secrets import randbits
from typing import Any

from sqlalchemy import BigInteger, Date, Double, Select, cast, func, literal, select, type_coerce

from mdb_sqla import functions
from mdb_sqla.column_types import UTCDateTime, fits_datetime
from mdb_sqla.tables import messages

__all__ = ["SETTINGS", "Sample"]

_MAX_EXACT = 100_000
_SAMPLE_SIZE = 10_000
_POSITIVE = 2**63 - 1  # the bits of a positive number

# The planner underestimates the series, or prefers a sequential scan.
SETTINGS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""The settings with which to execute the statements of a sample."""


@dataclass(frozen=True)
class Sample:
    """A sample of the global positions in a range: all of them, or ten thousand of a large range.

    Each message found counts as many times as the sampling interval. Unused positions count as
    nothing, so gaps do not distort the result.

    The statements of a sample read the same messages: each is read from disk at most once.

    Args:
        first: the first global position.
        last: the last global position.
        seed: determines the positions.
    """

    first: int
    last: int
    # Not from the module random: a thread of the web interface must not change the application's
    # sequence of random numbers.
    seed: int = field(default_factory=partial(randbits, 31))

    @property
    def every(self) -> int:
        """The sampling interval; if it is 1, the counts are exact."""
        number = self.last - self.first + 1
        return 1 if number <= _MAX_EXACT else number // _SAMPLE_SIZE

    def categories(self) -> Select[Any]:
        """Select `messages` and `streams` by `category`, most messages first.

        A stream of n messages is sampled n times as often as one of a single message, so each of
        its samples counts as 1/n.
        """
        of_stream = messages.alias()
        length = (
            select(func.max(of_stream.c.position) - func.min(of_stream.c.position) + 1)
            .where(of_stream.c.stream_name == messages.c.stream_name)
            .scalar_subquery()
        )
        category = functions.category(messages.c.stream_name).label("category")
        number = self._number()
        streams = func.sum(self.every / cast(length, Double)).label("streams")
        statement = self._from(select(category, number, streams)).group_by(category)
        return statement.order_by(number.desc(), category)

    def days(self, oldest: date, newest: date) -> Select[Any]:
        """Select `messages` by `day` in a range of days, in UTC."""
        day = cast(messages.c.time, Date).label("day")
        statement = self._from(select(day, self._number())).group_by(day)
        # Excludes days that Python can't represent: infinity, and years beyond 9999.
        day_after = _begin(newest + timedelta(days=1))
        return statement.where(messages.c.time >= _begin(oldest), messages.c.time < day_after)

    def minutes(self, oldest: datetime) -> Select[Any]:
        """Select `messages` by `minute` from a time on, in UTC."""
        minute = func.date_trunc("minute", messages.c.time)
        labeled = type_coerce(minute, UTCDateTime).label("minute")
        statement = self._from(select(labeled, self._number())).group_by(labeled)
        return statement.where(messages.c.time >= oldest, fits_datetime(messages.c.time))

    def before(self, day: date) -> Select[Any]:
        """Select the last position before a day; NULL if there is none."""
        last = func.max(messages.c.global_position)
        # A time that Python can't represent, such as -infinity, is not the time of the write.
        is_before = messages.c.time < _begin(day), fits_datetime(messages.c.time)
        return self._from(select(last)).where(*is_before)

    def _number(self) -> Any:
        return cast(func.count() * self.every, BigInteger).label("messages")

    def _from(self, statement: Select[Any]) -> Select[Any]:
        bounds = [literal(each, BigInteger) for each in (self.first, self.last, self.every)]
        begin = func.generate_series(*bounds).column_valued("begin")
        # Random within each interval: messages may follow a periodic pattern.
        hashed = func.pg_catalog.hashint8extended(begin, literal(self.seed, BigInteger))
        number = hashed.op("&", return_type=BigInteger())(literal(_POSITIVE, BigInteger))
        offset = func.mod(number, literal(self.every, BigInteger), type_=BigInteger)
        sampled = select((begin + offset).label("position")).subquery("sampled")
        is_found = messages.c.global_position == sampled.c.position
        return statement.select_from(sampled.join(messages, is_found))


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
