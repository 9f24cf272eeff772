"""Notices that messages were deleted before a reader that continues could read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Text, any_, bindparam, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.tables import deletions as log

__all__ = ["DeletedMessages", "DeletionWatch"]

# Like a batch of the job, an erasure of a whole stream deletes messages; the other kinds don't.
_KINDS = ("retention", "stream")
_after = bindparam("after", type_=BigInteger)
_reached = bindparam("reached", type_=BigInteger)
_categories = bindparam("categories", type_=ARRAY(Text))
_total = func.sum(log.c.messages, type_=BigInteger)
_DELETIONS = (
    select(
        log.c.category,
        _total.label("number"),
        _total.filter(log.c.last_global_position > _reached).label("left"),
        func.max(log.c.last_global_position).label("last"),
    )
    .where(
        log.c.kind.in_(_KINDS),
        log.c.last_global_position > _after,
        or_(func.cardinality(_categories) == 0, log.c.category == any_(_categories)),
    )
    .group_by(log.c.category)
    .order_by(log.c.category)
)
# The log does not exist before version 0002, and a role may lack the privilege.
_READABLE = select(
    func.coalesce(
        func.has_table_privilege(
            func.to_regclass(bindparam("log_name", type_=Text)), literal("SELECT", Text)
        ),
        False,
    )
)


class DeletedMessages(NamedTuple):
    """Messages that a policy or an erasure deleted before a reader that continues has read them.

    Attributes:
        name: their category or stream.
        after: the last position that was read: a global position, or that in the stream.
        last: the position of the last message that was deleted.
    """

    name: str
    after: int
    last: int

    def __str__(self) -> str:
        """Return a sentence."""
        what = f"stream {self.name}" if "-" in self.name else f"category {self.name}"
        kind = "position" if "-" in self.name else "global position"
        return (
            f"Messages of {what} after {kind} {self.after:,} were deleted before they were read, "
            f"the last one at {self.last:,}"
        )


class DeletionWatch:
    """Compares the log of deletions with what a reader has read.

    Args:
        categories: the categories that are read; empty for all.
    """

    def __init__(self, categories: Sequence[str]) -> None:
        self._categories = list(categories)
        self._after = 0
        self._known: dict[str, int] = {}  # the deleted messages after this position, by category
        self._is_readable: bool | None = None

    def begin(self, db: Database, after: int, *, continues: bool) -> None:
        """Begin after a global position, before the first read.

        Args:
            db: a session or connection.
            after: the global position.
            continues: whether the messages up to there were read. If not, deletions that are logged
                already don't matter.
        """
        self._after = after
        if not continues:
            self._known = {row.category: row.number for row in self._rows(db, after)}

    def check(self, db: Database, reached: int) -> list[DeletedMessages]:
        """Return what was deleted, after messages up to a global position were read."""
        rows = self._rows(db, reached)
        found = [
            DeletedMessages(row.category, self._after, row.last)
            for row in rows
            if row.number > self._known.get(row.category, 0)
        ]
        self._known = {row.category: row.left or 0 for row in rows}
        self._after = reached
        return found

    def _rows(self, db: Database, reached: int) -> Sequence[Any]:
        if self._is_readable is None:
            name = {"log_name": qualified(connection_of(db), log.name)}
            self._is_readable = execute(db, _READABLE, name, WRITES)[0][0]
        if not self._is_readable:
            return []
        parameters = {"after": self._after, "reached": reached, "categories": self._categories}
        return execute(db, _DELETIONS, parameters, WRITES)
