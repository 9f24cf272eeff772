"""Open transactions that have written to the store and hold back readers or other writers."""

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
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, connection_of, execute, qualified
from mdb_sqla.store.categories import categories as all_categories
from mdb_sqla.tables import messages
from mdb_sqla.words.stream_name import StreamName

__all__ = ["LONG", "ages_of_open_writers", "holding_back", "open_writers"]

LONG = 5.0
"""The age in seconds from which open transactions are reported."""

_MAX_CATEGORIES = 1_000
"""The maximum number of categories whose lock keys are computed."""

_LAST = 2**63 - 1


def open_writers(db: Database, *, at_least: float = LONG) -> list[OpenWriter]:
    """Return the open or prepared transactions that have written to the store.

    Transactions that hold readers back at the lowest positions come first. Transactions that hold
    locks which writers to the store wait for are included. Requires only a reader's privileges. On
    a standby, which doesn't know the primary's transactions, the list is empty.

    Args:
        db: a session or connection in a transaction, which is left unchanged.
        at_least: the minimum age in seconds. Transactions whose age the current role may not see
            are included.

    Raises:
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    found = _found(db, at_least)
    if not any(each.keys for each in found):
        return [each.writer({}) for each in found]
    known = all_categories(_MAX_CATEGORIES).subquery()
    names = _names(db, known.c.category)
    return [each.writer(names) for each in found]


def ages_of_open_writers(db: Database) -> list[float | None]:
    """Return the ages in seconds of all open writers; None for those that the role may not see.

    See `open_writers`.
    """
    return [each.seconds for each in _found(db, 0.0)]


def holding_back(
    db: Database, categories: Collection[str], position: int, *, at_least: float = 0.0
) -> list[OpenWriter]:
    """Return the transactions that hold a reader back at its position.

    These are the transactions that must end before the reader can read messages committed beyond
    them, and those that block writers to the reader's categories.

    Args:
        db: a session or connection in a new transaction, at READ COMMITTED.
        categories: the categories that the reader reads; empty for all.
        position: the global position up to which the reader has read everything.
        at_least: the minimum age in seconds, as in `open_writers`.

    Raises:
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    found = _found(db, 0.0)
    reported = [each for each in found if each.seconds is None or each.seconds >= at_least]
    if not reported:
        return []
    if not categories:
        newest = _newest(db, None)
        return [
            each.writer({}) for each in reported if each.waiting or each.is_below(newest, position)
        ]
    requested = [StreamName(category) for category in dict.fromkeys(categories)]
    given = func.unnest(cast(requested, ARRAY(Text))).column_valued("category")
    names = _names(db, given)
    newest = max(_newest(db, category) for category in requested)
    # Readers look at floors only while a category is locked, by a writer of any age. They then see
    # all prepared ones: PREPARE TRANSACTION transfers its locks one by one. See read_bound().
    holders = [each for each in found if names.keys() & each.keys]
    readers_wait = holders and (len(requested) > 1 or _granularity(db) != "category")
    is_prepared = any(each.pid is None for each in holders)
    return [
        each.writer(names)
        for each in reported
        if names.keys() & each.waiting_keys
        or (
            readers_wait
            and (is_prepared or each.pid is None or each in holders)
            and each.is_below(newest, position)
        )
    ]


class _Found(NamedTuple):
    """A row of `open_transactions.sql`."""

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
        """Return whether a reader at a position must wait for it to read the newest message."""
        return self.position is not None and newest > max(self.position, position)

    def writer(self, names: dict[int, str]) -> OpenWriter:
        return OpenWriter(
            *self[:9],
            categories=tuple(sorted(names[key] for key in names.keys() & self.keys)),
            waiting=tuple(self.waiting),
            waits_for=tuple(dict.fromkeys(self.waits_for)),
        )


def _found(db: Database, at_least: float) -> list[_Found]:
    refuse_on_citus(db, Unoffered.OPEN_WRITERS)
    connection = connection_of(db)
    # PostgreSQL caches the state of other sessions within a transaction.
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
    file = files("mdb_sqla.consumers").joinpath("open_transactions.sql")
    return text(file.read_text(encoding="utf-8"))


def _names(db: Database, category: ColumnElement[str]) -> dict[int, str]:
    """Return the names of categories by lock key."""
    statement = select(category.label("category"), functions.hash_64(category).label("key"))
    return {row.key: row.category for row in execute(db, statement, {}, WRITES)}


def _granularity(db: Database) -> str:
    ((granularity,),) = execute(db, select(functions.lock_granularity()), {}, WRITES)
    return str(granularity)


def _newest(db: Database, category: str | None) -> int:
    """Return the position of the newest committed message; 0 if there is none."""
    position = messages.c.global_position
    statement = select(position).order_by(position.desc()).limit(1)
    if category is not None:
        # Compared and sorted as one value, so only one index is suitable.
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
