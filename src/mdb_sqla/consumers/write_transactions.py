"""Transactions that have written and are still open: who holds readers and other writers back."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    TextClause,
    cast,
    func,
    literal,
    select,
    text,
    tuple_,
)

from mdb_sqla import functions
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.store.categories import categories as all_categories
from mdb_sqla.tables import messages
from mdb_sqla.words.stream_name import StreamName

__all__ = ["LONG", "holding_back", "open_writers"]

LONG = 5.0
"""For how many seconds a transaction may be open before it is worth a report."""

_MOST_CATEGORIES = 1_000
"""Among how many categories of the store the names of locks are looked for."""

_LAST = 2**63 - 1


def open_writers(db: Database, *, at_least: float = LONG) -> list[OpenWriter]:
    """Return the transactions that have written to the store and are open, or prepared.

    Those come first that hold readers back at the lowest position. Transactions that hold locks
    for which writers of the store wait are among them. It takes no rights beyond those of a reader.
    On a standby, which doesn't know the primary's transactions, there are none.

    Args:
        db: a session or connection in a transaction, which is left as it was.
        at_least: for how many seconds they have been open. Those whose age this role may not see
            are returned too.

    Raises:
        StoreNotInstalled: there is no store in the database, or it is not up to date.
    """
    found = _found(db, at_least)
    if not any(each.keys for each in found):
        return [each.writer({}) for each in found]
    known = all_categories(_MOST_CATEGORIES).subquery()
    names = _names(db, known.c.category)
    return [each.writer(names) for each in found]


def holding_back(
    db: Database, categories: Collection[str], position: int, *, at_least: float = 0.0
) -> list[OpenWriter]:
    """Return the transactions that keep a reader from what lies beyond its position.

    These are the ones that it has to wait for before it may read messages that are committed
    there, and the ones that keep others from writing to its categories.

    Args:
        db: a session or connection in a transaction of its own, at READ COMMITTED.
        categories: what the reader reads; none of them means all there are.
        position: the global position up to which it has read all.
        at_least: for how many seconds they have been open, as in `open_writers`.

    Raises:
        StoreNotInstalled: there is no store in the database, or it is not up to date.
    """
    found = _found(db, at_least)
    if not found:
        return []
    if not categories:
        newest = _newest(db, None)
        return [
            each.writer({}) for each in found if each.waiting or each.is_below(newest, position)
        ]
    asked = [StreamName(category) for category in dict.fromkeys(categories)]
    given = func.unnest(cast(asked, ARRAY(Text))).column_valued("category")
    names = _names(db, given)
    newest = max(_newest(db, category) for category in asked)
    readers_wait = len(asked) > 1 or _granularity(db) != "category"
    # What is being prepared hands its locks over one by one; see read_bound().
    is_prepared = any(each.pid is None and names.keys() & each.keys for each in found)
    return [
        each.writer(names)
        for each in found
        if names.keys() & each.waiting_keys
        or (
            readers_wait
            and (is_prepared or each.pid is None or names.keys() & each.keys)
            and each.is_below(newest, position)
        )
    ]


class _Found(NamedTuple):
    """A row of `open_writers.sql`."""

    pid: int | None
    gid: str | None
    role: str | None
    application: str | None
    client: str | None
    state: str | None
    query: str | None
    seconds: float | None
    position: int | None
    keys: list[int]
    waiting: list[int]
    waiting_keys: list[int]
    waits_for: list[int]

    def is_below(self, newest: int, position: int) -> bool:
        """Whether a reader that is at a position has to wait for it before it reads the newest."""
        return self.position is not None and newest > max(self.position, position)

    def writer(self, names: dict[int, str]) -> OpenWriter:
        return OpenWriter(
            *self[:9],
            categories=tuple(sorted(names[key] for key in names.keys() & self.keys)),
            waiting=tuple(self.waiting),
            waits_for=tuple(dict.fromkeys(self.waits_for)),
        )


def _found(db: Database, at_least: float) -> list[_Found]:
    connection = connection_of(db)
    # Within a transaction, what was seen of other sessions would stay as it was.
    known = select(functions.last_global_position().label("last"), func.pg_stat_clear_snapshot())
    (row,) = execute(db, known, {}, WRITES)
    parameters = {
        "last": row.last,
        "messages": qualified(connection, messages.name),
        "sequence": qualified(connection, "messages_global_position_seq"),
        "at_least": at_least,
    }
    return [_Found._make(row) for row in execute(db, _statement(), parameters, WRITES)]


@cache
def _statement() -> TextClause:
    file = files("mdb_sqla.consumers").joinpath("write_transactions.sql")
    return text(file.read_text(encoding="utf-8"))


def _names(db: Database, category: ColumnElement[str]) -> dict[int, str]:
    """Return the names of categories by the keys of their locks."""
    statement = select(category.label("category"), functions.hash_64(category).label("key"))
    return {row.key: row.category for row in execute(db, statement, {}, WRITES)}


def _granularity(db: Database) -> str:
    ((granularity,),) = execute(db, select(functions.lock_granularity()), {}, WRITES)
    return str(granularity)


def _newest(db: Database, category: str | None) -> int:
    """Return the position of the newest message that is committed; 0 where there is none."""
    position = messages.c.global_position
    statement = select(position).order_by(position.desc()).limit(1)
    if category is not None:
        # Compared and sorted as one value, as in `lag`: only one index serves.
        of_category = functions.category(messages.c.stream_name)
        statement = (
            select(position)
            .where(
                tuple_(of_category, position) >= tuple_(category, literal(0, BigInteger)),
                tuple_(of_category, position) <= tuple_(category, literal(_LAST, BigInteger)),
            )
            .order_by(of_category.desc(), position.desc())
            .limit(1)
        )
    rows = execute(db, statement, {}, WRITES)
    return int(rows[0].global_position) if rows else 0
