"""A database with an empty store, for one test after the other that leaves it as it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

__all__ = ["CLEAN", "UnchangedDatabase"]

# Waits for the transactions that it ends, as TRUNCATE does, but makes no new files of the tables
# unless they have grown.
_EMPTY = """
      PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
      LOCK TABLE message_store.messages, message_store.dead_letters, message_store.consumers,
        message_store.consumer_slots, message_store.consumer_members, message_store.stream_heads,
        message_store.deleted_positions, message_store.retention_policies, message_store.deletions,
        message_store.subject_keys, message_store.operations;
      IF pg_relation_size('message_store.messages') > 100000 THEN
        TRUNCATE message_store.messages;
      END IF;
      DELETE FROM message_store.messages;
      DELETE FROM message_store.dead_letters;
      DELETE FROM message_store.consumer_slots;
      DELETE FROM message_store.consumer_members;
      DELETE FROM message_store.consumers;
      DELETE FROM message_store.stream_heads;
      DELETE FROM message_store.deleted_positions;
      DELETE FROM message_store.retention_policies;
      DELETE FROM message_store.deletions;
      DELETE FROM message_store.subject_keys;
      DELETE FROM message_store.operations;
      PERFORM setval('message_store.messages_global_position_seq', 1, false);
"""

# Makes the schema `public` again only if something was done to it.
_BLANK_PUBLIC = """
      IF NOT EXISTS (
        SELECT FROM pg_namespace AS n WHERE nspname = 'public' AND nspacl IS NULL AND NOT EXISTS (
          SELECT FROM pg_depend
          WHERE refclassid = 'pg_namespace'::regclass AND refobjid = n.oid
        )
      ) THEN
        DROP SCHEMA IF EXISTS public CASCADE;
        CREATE SCHEMA public;
      END IF;
"""

CLEAN = text(f"DO $$ BEGIN {_EMPTY} {_BLANK_PUBLIC} END $$")
"""Empties the store, and whatever tests have made in the schema `public`."""

_EMPTY_STORE = text(f"DO $$ BEGIN {_EMPTY} END $$")

_RESET_SEQUENCES = text("""
    SELECT setval(format('%I.%I', schemaname, sequencename), start_value, false)
    FROM pg_sequences WHERE schemaname = 'message_store'
""")

# Statistics come at any time.
_CATALOGS = text("""
    SELECT relname FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared
      AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data')
    ORDER BY relname
""")

_TABLES = text("""
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'message_store'::regnamespace AND relkind = 'r' ORDER BY 1
""")

# A row of a catalog that is added or changed is newer than all others; if one goes, they are fewer.
_CATALOG = "SELECT '{0}', count(*), max(xmin::text::bigint)::text FROM pg_catalog.{0}"

_TABLE = "SELECT '{0}', count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {0} AS t"

# What ANALYZE and VACUUM find out is written into rows that stay.
_ESTIMATES = """
    SELECT relname, relpages, reltuples::text FROM pg_class
    WHERE relnamespace = 'message_store'::regnamespace
"""

_DATABASE = """
    SELECT datname, xmin::text::bigint,
      (SELECT string_agg(s::text, ' ') FROM pg_db_role_setting AS s WHERE setdatabase = d.oid)
    FROM pg_database AS d WHERE datname = current_database()
"""


class UnchangedDatabase:
    """A database that is emptied after each test, and replaced if the test has changed more.

    To create one takes longer than most tests.

    Args:
        create: creates a database with an empty store, and drops it.
    """

    def __init__(self, create: Callable[[], AbstractContextManager[URL]]) -> None:
        self._create = create
        self._stack = ExitStack()
        self._url: URL | None = None
        self._state: list[Any] = []

    def take(self) -> URL:
        if self._url is None:
            self._url = self._stack.enter_context(self._create())
            with self._connect() as connection:
                self._state = _state(connection)
        return self._url

    def give_back(self) -> None:
        try:
            with self._connect() as connection:
                connection.execute(_EMPTY_STORE)
                connection.execute(_RESET_SEQUENCES)
                is_unchanged = _state(connection) == self._state
        except DBAPIError:
            is_unchanged = False  # it has no store any more, or it is locked
        if not is_unchanged:
            self.drop()

    def drop(self) -> None:
        self._url = None
        self._stack.close()

    def _connect(self) -> Connection:
        assert self._url is not None
        # It does not stay, so that a test may copy the database.
        options = {"options": "-c lock_timeout=5s"}
        engine = create_engine(
            self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=options
        )
        return engine.connect()


def _state(connection: Connection) -> list[Any]:
    """All of a database that a test can change."""
    catalogs = [_CATALOG.format(name) for name in connection.scalars(_CATALOGS)]
    tables = [_TABLE.format(name) for name in connection.scalars(_TABLES)]
    return [
        tuple(row)
        for query in (" UNION ALL ".join([*catalogs, *tables]), _ESTIMATES, _DATABASE)
        for row in connection.exec_driver_sql(query)
    ]
