"""Counts from one in n global positions, so that no count takes as long as a store is large."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import BigInteger, Date, Double, Select, cast, func, literal, select

from mdb_sqla import functions
from mdb_sqla.column_types import held_by_python
from mdb_sqla.tables import messages

__all__ = ["SETTINGS", "Sample"]

_ALL = 100_000
_SOME = 10_000

# The planner takes a series for a short one, or would rather read the whole table.
SETTINGS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""What the statements of a sample are to be executed with."""


@dataclass(frozen=True)
class Sample:
    """Global positions in a range: all of them where it is short, else some ten thousand.

    Each message that is found stands for as many as there are positions between two that are looked
    up. Positions that no message has count for nothing, so that gaps distort no count.

    Args:
        first: the first global position.
        last: the last one.
    """

    first: int
    last: int

    @property
    def every(self) -> int:
        """One in how many positions is looked up; with 1, all that is counted is exact."""
        number = self.last - self.first + 1
        return 1 if number <= _ALL else number // _SOME

    def categories(self) -> Select[Any]:
        """Select `messages` and `streams` by `category`, those with most messages first.

        A stream of n messages is met n times as often as one of a single message, and counts an nth
        each time.
        """
        of_stream = messages.alias()
        length = (
            select(func.max(of_stream.c.position) + 1)
            .where(of_stream.c.stream_name == messages.c.stream_name)
            .scalar_subquery()
        )
        category = functions.category(messages.c.stream_name).label("category")
        number = self._number()
        streams = func.sum(self.every / cast(length, Double)).label("streams")
        statement = self._from(select(category, number, streams)).group_by(category)
        return statement.order_by(number.desc(), category)

    def days(self, oldest: date, newest: date) -> Select[Any]:
        """Select `messages` by `day`, from one day to another, in UTC."""
        day = cast(messages.c.time, Date).label("day")
        statement = self._from(select(day, self._number())).group_by(day)
        # Days that Python does not have are left out, too: infinity, and years beyond 9999.
        day_after = _begin(newest + timedelta(days=1))
        return statement.where(messages.c.time >= _begin(oldest), messages.c.time < day_after)

    def before(self, day: date) -> Select[Any]:
        """Select the last position before a day begins; NULL where there is none."""
        last = func.max(messages.c.global_position)
        # A time that Python does not have, such as -infinity, is not when a message was written.
        is_before = messages.c.time < _begin(day), held_by_python(messages.c.time)
        return self._from(select(last)).where(*is_before)

    def _number(self) -> Any:
        return cast(func.count() * self.every, BigInteger).label("messages")

    def _from(self, statement: Select[Any]) -> Select[Any]:
        bounds = [literal(each, BigInteger) for each in (self.first, self.last, self.every)]
        begin = func.generate_series(*bounds).column_valued("begin")
        # At random within each step: messages may have a rhythm of their own.
        offset = cast(func.floor(func.random() * self.every), BigInteger)
        looked_up = select((begin + offset).label("position")).subquery("looked_up")
        is_found = messages.c.global_position == looked_up.c.position
        return statement.select_from(looked_up.join(messages, is_found))


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
