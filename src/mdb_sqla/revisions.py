"""What the store's own Alembic revisions are written with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from alembic import op
from alembic.util import CommandError

from mdb_sqla.errors import InvalidSchemaName, Refusal
from mdb_sqla.refusals import translated

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

__all__ = [
    "DEFAULT_SCHEMA",
    "DELETE_MESSAGES_OPTION",
    "SAFE_SEARCH_PATH",
    "SCHEMA_OPTION",
    "Migration",
    "configured_schema",
    "current",
    "execute",
    "run",
    "running",
    "statement",
]

DEFAULT_SCHEMA = "message_store"

SCHEMA_OPTION = "message_store_schema"
"""The option of `alembic.ini` or `[tool.alembic]` that names the schema of the store."""

DELETE_MESSAGES_OPTION = "delete_messages"
"""The `-x` argument of Alembic that lets a downgrade delete messages: `-x delete_messages=yes`."""


class Migration(NamedTuple):
    """What a revision needs to know while it runs."""

    context: MigrationContext
    schema: str
    may_delete_messages: bool


# What is created keeps the functions and operators that it was created with. One that anybody may
# put into the schema `public` can match better than PostgreSQL's own.
SAFE_SEARCH_PATH = "pg_catalog, pg_temp"
_SET_SAFE = f"""
DO $do$
BEGIN
  PERFORM
    pg_catalog.set_config(
      'mdb_sqla.search_path', '=' || pg_catalog.current_setting('search_path'), true
    ),
    pg_catalog.set_config('search_path', '{SAFE_SEARCH_PATH}', true);
END
$do$;
"""
_RESTORE = """
DO $do$
BEGIN
  -- Without a transaction it was gone at once.
  IF current_setting('mdb_sqla.search_path', true) LIKE '=%' THEN
    PERFORM set_config('search_path', substr(current_setting('mdb_sqla.search_path'), 2), true);
  END IF;
END
$do$;
"""

_current: ContextVar[Migration | None] = ContextVar("_current", default=None)


@contextmanager
def running(migration: Migration) -> Iterator[None]:
    """Run revisions without an Alembic environment, which the whole process would share."""
    token = _current.set(migration)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Migration:
    """Return the migration under way: ours, or that of the application's Alembic environment."""
    migration = _current.get()
    if migration is not None:
        return migration
    context = op.get_context()
    environment = context.environment_context
    arguments = environment.get_x_argument(as_dictionary=True) if environment else {}
    return Migration(
        context, configured_schema(context), arguments.get(DELETE_MESSAGES_OPTION) == "yes"
    )


def configured_schema(context: MigrationContext) -> str:
    """Return the name of the schema that the store lives in, as Alembic is configured."""
    if context.config is None:
        return DEFAULT_SCHEMA
    return context.config.get_alembic_option(SCHEMA_OPTION, DEFAULT_SCHEMA)


def run(revision: str, *names: str) -> None:
    """Run SQL files of a revision, each one statement, in the schema that is configured.

    The text reaches the server, or the script of `--sql`, exactly as it stands in the file: `:name`
    is no bind parameter and `%` is not doubled, whatever parameter style the environment uses.
    """
    migration = current()
    statements = [statement(revision, name, migration.schema) for name in names]
    if migration.context.as_sql:
        with _safely(migration.context.impl.static_output) as output:
            for sql in statements:
                output(sql)
        return
    connection = migration.context.connection
    assert connection is not None  # noqa: S101 (only a script has none)
    try:
        with translated(), _safely(partial(execute, connection)) as send:
            for sql in statements:
                send(sql)
    except Refusal as refusal:
        if _current.get() is not None:
            raise
        # What Alembic's command prints without a traceback.
        hint = " ".join(getattr(refusal, "__notes__", ()))
        raise CommandError(f"{refusal}. {hint}") from refusal


@contextmanager
def _safely(send: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Send statements that find PostgreSQL's own functions and operators, and no others.

    It is for a transaction, and takes back the search path after the last of them. After an error
    the transaction, or its savepoint, does.
    """
    send(_SET_SAFE)
    yield send
    send(_RESTORE)


def execute(connection: Connection, sql: str) -> None:
    """Send a statement to the server as it is."""
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def statement(revision: str, name: str, schema: str) -> str:
    """Return the statement in an SQL file of a revision, with the name of the schema put in.

    `{schema}` stands for the name as an identifier, `{schema_literal}` for the identifier as a
    string, which is what `to_regclass` and its like read, and `{schema_literal.messages}` for the
    same with the name of an object in the schema.

    Raises:
        InvalidSchemaName: the name is empty, longer than 63 bytes, or has a `$`, a bracket or a NUL
            in it.
    """
    if (
        not isinstance(schema, str)
        or not 0 < len(schema.encode()) <= 63
        # The brackets are those that SQLAlchemy can't translate.
        or any(each in schema for each in "$[]\0")
    ):
        raise InvalidSchemaName(schema)
    identifier = '"' + schema.replace('"', '""') + '"'
    literal = identifier.replace("'", "''")
    file = files("mdb_sqla.versions").joinpath("sql", revision, f"{name}.sql")
    sql = file.read_text(encoding="utf-8")

    def value(match: re.Match[str]) -> str:
        return identifier if match[1] is None else f"'{literal}{match[2]}'"

    return re.sub(r"\{schema(?:(_literal)([^}]*))?\}", value, sql)
