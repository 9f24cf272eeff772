"""Retention policies: which messages of a category are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, delete, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

from mdb_sqla.archive.archive_url import archive_url
from mdb_sqla.archive.file_formats import archive_format as checked_format
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.operation_log import record
from mdb_sqla.tables import retention_policies as table
from mdb_sqla.words.argument_checks import described, flag, integer
from mdb_sqla.words.durations import duration
from mdb_sqla.words.stream_name import category_name

__all__ = [
    "COLUMNS",
    "RetentionPolicy",
    "checked_policy",
    "delete_policy",
    "policies",
    "set_policy",
    "upsert",
]


@dataclass(frozen=True)
class RetentionPolicy:
    """Which messages of a category are kept.

    A message is deleted when no rule keeps it, and only after every registered consumer and relay
    that reads the category has handled it. Without `keep_age` and `keep_last`, that is at once, as
    for an outbox.

    Attributes:
        category: the category.
        keep_age: how long a message is kept, from its `time`; None for no such rule.
        keep_last: how many of the last messages of each stream are kept; None for no such rule.
        keep_versions: whether a stream whose messages are all deleted continues at its next
            position. If it doesn't, it starts at position 0 again, and `NO_STREAM` is accepted. For
            an outbox with a stream for each message, this saves a row for each stream.
        archive: the archive that messages are written to before they are deleted, as an absolute
            path or a URL such as `s3://bucket/folder`; None for no archive.
        archive_format: the format of the archive's files, `jsonl` or `parquet`.
    """

    category: str
    keep_age: timedelta | None = None
    keep_last: int | None = None
    keep_versions: bool = True
    archive: str | None = None
    archive_format: str = "jsonl"

    def __str__(self) -> str:
        """Return the rules in words."""
        rules = []
        if self.keep_age is not None:
            rules.append(f"for {duration(self.keep_age.total_seconds())}")
        if self.keep_last is not None:
            last = "message" if self.keep_last == 1 else f"{self.keep_last:,} messages"
            rules.append(f"the last {last} of each stream")
        kept = ", and ".join(rules) or "until all consumers have handled them"
        if not self.keep_versions:
            kept += "; forget the versions of empty streams"
        return kept if self.archive is None else f"{kept}; archive to {self.archive}"


COLUMNS = [table.c[field.name] for field in fields(RetentionPolicy)]
"""The columns of a policy, in the order of its attributes."""


def set_policy(
    db: Database,
    category: str,
    *,
    keep_age: timedelta | None = None,
    keep_last: int | None = None,
    keep_versions: bool = True,
    archive: str | None = None,
    archive_format: str = "jsonl",
    by: str | None = None,
) -> RetentionPolicy:
    """Set the retention policy of a category, and return it.

    It replaces an earlier policy of the category, including its archive.

    Nothing is deleted until the retention job runs. It is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction, as the owner of the store.
        category: the category.
        keep_age: see `RetentionPolicy`.
        keep_last: see `RetentionPolicy`.
        keep_versions: see `RetentionPolicy`.
        archive: see `RetentionPolicy`. The URL has no credentials: they come from the configuration
            of the file system, such as environment variables, where the job runs. A folder must
            exist.
        archive_format: see `RetentionPolicy`.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        InvalidStreamName: `category` is not a category.
        InvalidArgument: `keep_age` is not a positive timedelta, `keep_last` is less than 1, or
            `archive` is not an absolute path or a URL, contains a password or query, or is in
            memory.
        NotOffered: the store is distributed with Citus.
        NotPermitted: the role is not the owner of the store.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    policy = checked_policy(category, keep_age, keep_last, keep_versions, archive, archive_format)
    db = database(db)
    refuse_on_citus(db, Unoffered.RETENTION)
    execute(db, upsert(policy, table).returning(table.c.category), {}, WRITES)
    record(db, "set_policy", policy.category, details={"keep": str(policy)}, by=by)
    return policy


def checked_policy(
    category: str,
    keep_age: timedelta | None,
    keep_last: int | None,
    keep_versions: bool,
    archive: str | None,
    archive_format: str,
) -> RetentionPolicy:
    """Return a policy after checking its rules. See `set_policy`."""
    return RetentionPolicy(
        category_name(category),
        None if keep_age is None else _positive("keep_age", keep_age),
        None if keep_last is None else integer("keep_last", keep_last, 1),
        flag("keep_versions", keep_versions),
        None if archive is None else archive_url(archive),
        checked_format(archive_format),
    )


def upsert(policy: RetentionPolicy, table: Table) -> Insert:
    """Return the statement that sets a policy, in the table of a store."""
    row = insert(table).values(asdict(policy))
    new: dict[str, Any] = {
        column.name: row.excluded[column.name] for column in COLUMNS if column.name != "category"
    }
    return row.on_conflict_do_update(
        index_elements=[table.c.category], set_={**new, "updated_at": func.clock_timestamp()}
    )


def delete_policy(db: Database, category: str, *, by: str | None = None) -> bool:
    """Delete the retention policy of a category: its messages are kept. Return whether it had one.

    If it had one, the deletion is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction, as the owner of the store.
        category: the category.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        NotOffered: the store is distributed with Citus.
    """
    db = database(db)
    refuse_on_citus(db, Unoffered.RETENTION)
    name = category_name(category)
    statement = delete(table).where(table.c.category == name).returning(table.c.category)
    if not execute(db, statement, {}, WRITES):
        return False
    record(db, "delete_policy", name, by=by)
    return True


def policies(db: Database) -> list[RetentionPolicy]:
    """Return the retention policies, ordered by category.

    Args:
        db: a session or connection.

    Raises:
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    refuse_on_citus(db, Unoffered.RETENTION)
    rows = execute(db, select(*COLUMNS).order_by(table.c.category), {}, WRITES)
    return [RetentionPolicy(*row) for row in rows]


def _positive(what: str, value: object) -> timedelta:
    if not isinstance(value, timedelta) or value <= timedelta():
        raise InvalidArgument(f"{what} must be a positive timedelta, got {described(value)}")
    return value
