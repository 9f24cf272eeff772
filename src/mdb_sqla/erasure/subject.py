"""Forgetting a subject, by deleting the key of its personal data."""

from __future__ import annotations

from sqlalchemy import func, insert, null, select, update

from mdb_sqla.database.citus import refuse_on_worker
from mdb_sqla.database.execution import WRITES, Database, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.tables import deletions
from mdb_sqla.tables import subject_keys as keys
from mdb_sqla.words.argument_checks import key, text

__all__ = ["forget_subject"]


def forget_subject(db: Database, subject: str, *, reason: str) -> bool:
    """Delete the key of a subject, so that nobody can decrypt the subject's fields any more.

    The key's row stays, without the key: no new key can be created for the subject. Processes that
    have the key in memory lose it after `max_age` of their `Encryption`. It is logged in the table
    `deletions`. With an `AsyncSession` or an `AsyncConnection`, use its `run_sync`.

    Args:
        db: a session or connection in a transaction, in the database with the table `subject_keys`.
            The role must be the owner of the store, or may update `subject_keys` and insert into
            `deletions`.
        subject: the subject.
        reason: why, for the log.

    Returns:
        Whether the key was deleted; False if it was deleted before.

    Raises:
        InvalidArgument: the subject has no key, or an argument is invalid.
        NotOffered: the node is a worker of Citus.
        NotPermitted: the role may not do this.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    refuse_on_worker(db)
    subject, reason = key("subject", subject), text("reason", reason)
    forgotten = (
        update(keys)
        .where(keys.c.subject == subject, keys.c.forgotten_at.is_(None))
        .values(key=null(), forgotten_at=func.clock_timestamp())
        .returning(keys.c.subject)
    )
    if execute(db, forgotten, {}, WRITES):
        entry = insert(deletions).values(kind="key", subject=subject, reason=reason)
        execute(db, entry.returning(deletions.c.id), {}, WRITES)
        return True
    if not execute(db, select(keys.c.subject).where(keys.c.subject == subject), {}, WRITES):
        raise InvalidArgument(f"There is no key for subject {subject}")
    return False
