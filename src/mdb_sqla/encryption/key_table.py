"""Keys of subjects in the table `subject_keys`, wrapped with a master key of the application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.dialects.postgresql import insert

from mdb_sqla.database.citus import refuse_on_worker
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.encryption.cipher import Undecryptable, WrappingKey, new_key
from mdb_sqla.errors import DecryptionFailed, InvalidArgument, NoSubjectKey, SubjectForgotten
from mdb_sqla.tables import subject_keys as table
from mdb_sqla.words.argument_checks import described, instance

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncKeyTable", "KeyTable"]

_BATCH = 1_000  # keys


class KeyTable:
    """The keys of subjects in the table `subject_keys` of a store.

    Each call is a transaction of its own: a key is never lost because the application's transaction
    is rolled back. The table has the keys encrypted with the master key, so a dump of the database
    alone does not reveal them. Only roles to which the operator grants SELECT, and INSERT to create
    keys, can use the table. It need not be in the same database as the messages.

    Args:
        engine: an engine for the database with the table.
        master_key: 32 random bytes that are not stored in this database; or several such keys, of
            which the first one wraps new keys, and the others are tried for older ones.

    Raises:
        InvalidArgument: `engine` is not an Engine, or `master_key` is not a key.
    """

    def __init__(self, engine: Engine, master_key: bytes | Sequence[bytes]) -> None:
        self._engine = instance("engine", engine, Engine).execution_options(
            isolation_level="READ COMMITTED"
        )
        self._keys = _Keys(master_key)

    def create_key(self, subject: str) -> bytes:
        """Return the key of a subject, after creating it if there is none.

        Raises:
            SubjectForgotten: the key was deleted.
            DecryptionFailed: the key was wrapped with another master key.
            NotOffered: the node is a worker of Citus.
            NotPermitted: the role may not read the keys, or not create any.
            StoreNotInstalled: the database has no store, or the store is not up to date.
        """
        with translated(), self._engine.begin() as connection:
            return self._keys.create(connection, subject)

    def find_key(self, subject: str) -> bytes | None:
        """Return the key of a subject; None if it was deleted.

        Raises:
            NoSubjectKey: the subject never had a key.
            DecryptionFailed: the key was wrapped with another master key.
            NotOffered: the node is a worker of Citus.
            NotPermitted: the role may not read the keys.
            StoreNotInstalled: the database has no store, or the store is not up to date.
        """
        with translated(), self._engine.begin() as connection:
            return self._keys.find(connection, subject)

    def rewrap(self) -> int:
        """Wrap all keys again with the first master key, and return their number.

        Afterwards, the other master keys are not needed any more, except for backups. The role must
        be the owner of the store, or may update the table.

        Raises:
            DecryptionFailed: a key was wrapped with none of the master keys; earlier ones, in the
                order of their subjects, have been wrapped again.
        """
        number, last = 0, ""
        while True:
            with translated(), self._engine.begin() as connection:
                subjects = self._keys.rewrap(connection, last)
            if not subjects:
                return number
            number, last = number + len(subjects), subjects[-1]


class AsyncKeyTable:
    """The keys of subjects in the table `subject_keys`, with an async engine. See `KeyTable`."""

    def __init__(self, engine: AsyncEngine, master_key: bytes | Sequence[bytes]) -> None:
        from sqlalchemy.ext.asyncio import AsyncEngine

        self._engine = instance("engine", engine, AsyncEngine).execution_options(
            isolation_level="READ COMMITTED"
        )
        self._keys = _Keys(master_key)

    async def create_key(self, subject: str) -> bytes:
        """Return the key of a subject, after creating it. See `KeyTable.create_key`."""
        with translated():
            async with self._engine.begin() as connection:
                return await connection.run_sync(self._keys.create, subject)

    async def find_key(self, subject: str) -> bytes | None:
        """Return the key of a subject; None if it was deleted. See `KeyTable.find_key`."""
        with translated():
            async with self._engine.begin() as connection:
                return await connection.run_sync(self._keys.find, subject)


class _Keys:
    """The statements, for a connection at READ COMMITTED."""

    def __init__(self, master_key: bytes | Sequence[bytes]) -> None:
        several = isinstance(master_key, Sequence) and not isinstance(master_key, bytes | str)
        keys: Any = master_key if several else [master_key]
        if not keys:
            raise InvalidArgument(f"master_key must be at least one key, got {described(keys)}")
        self._wrapping = [WrappingKey(key) for key in keys]

    def create(self, connection: Connection, subject: str) -> bytes:
        found = self._found(connection, subject)
        if not found:
            wrapped = self._wrapping[0].wrap(new_key(), subject)
            row = insert(table).values(subject=subject, key=wrapped).on_conflict_do_nothing()
            connection.execute(row)
            # Another process may have been faster: the insert has waited for its commit.
            found = self._found(connection, subject)
        (key,) = found
        if key is None:
            raise SubjectForgotten(subject)
        return key

    def find(self, connection: Connection, subject: str) -> bytes | None:
        found = self._found(connection, subject)
        if not found:
            raise NoSubjectKey(subject)
        return found[0]

    def rewrap(self, connection: Connection, after: str) -> list[str]:
        """Wrap the keys of the next subjects again, and return the subjects."""
        refuse_on_worker(connection)
        statement = (
            select(table.c.subject, table.c.key)
            .where(table.c.subject > after, table.c.key.is_not(None))
            .order_by(table.c.subject)
            .limit(_BATCH)
            .with_for_update()
        )
        rows = execute(connection, statement, {}, WRITES)
        for row in rows:
            key = self._wrapping[0].wrap(self._unwrapped(row.key, row.subject), row.subject)
            connection.execute(update(table).where(table.c.subject == row.subject).values(key=key))
        return [row.subject for row in rows]

    def _found(self, connection: Connection, subject: str) -> list[bytes | None]:
        """Return the key in a list, which is empty if there is no row."""
        refuse_on_worker(connection)
        statement = select(table.c.key).where(table.c.subject == subject)
        return [
            None if row.key is None else self._unwrapped(row.key, subject)
            for row in execute(connection, statement, {}, WRITES)
        ]

    def _unwrapped(self, wrapped: bytes, subject: str) -> bytes:
        for key in self._wrapping:
            try:
                return key.unwrap(wrapped, subject)
            except Undecryptable as error:
                why = str(error)
        raise DecryptionFailed(f"The key of subject {subject}", subject, why)
