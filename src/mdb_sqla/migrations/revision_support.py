"""What the store's own Alembic revisions are written with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.resources import files
from itertools import dropwhile
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from alembic import op
from alembic.util import CommandError

from mdb_sqla.database.server_errors import translated
from mdb_sqla.errors import InvalidSchemaName, Refusal
from mdb_sqla.words.argument_checks import is_storable, plain

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from sqlalchemy import Connection

__all__ = [
    "DEFAULT_SCHEMA",
    "DELETABLE",
    "SAFE_SEARCH_PATH",
    "SCHEMA_OPTION",
    "Migration",
    "checked_schema",
    "configured_schema",
    "current",
    "execute",
    "refuse_loss",
    "run",
    "running",
    "statement",
]

DEFAULT_SCHEMA = "message_store"

SCHEMA_OPTION = "message_store_schema"
"""The option of `alembic.ini` or `[tool.alembic]` that names the schema of the store."""

DELETABLE = ("messages", "consumers")
"""What a downgrade deletes only if it may: messages, and what consumers have stored, which is their
positions, members, dead letters and registrations. Alembic's argument is `-x delete_messages=yes`.
"""


class Migration(NamedTuple):
    """What a revision needs to know while it runs.

    Attributes:
        context: Alembic's.
        schema: the schema of the store.
        may_delete: what of `DELETABLE` a downgrade may delete.
    """

    context: MigrationContext
    schema: str
    may_delete: frozenset[str] = frozenset()


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

_plans: WeakKeyDictionary[MigrationContext, list[RevisionStep]] = WeakKeyDictionary()
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
    may_delete = {kind for kind in DELETABLE if arguments.get(f"delete_{kind}") == "yes"}
    return Migration(context, configured_schema(context), frozenset(may_delete))


def configured_schema(context: MigrationContext) -> str:
    """Return the name of the schema that the store lives in, as Alembic is configured."""
    if context.config is None:
        return DEFAULT_SCHEMA
    return context.config.get_alembic_option(SCHEMA_OPTION, DEFAULT_SCHEMA)


def refuse_loss(revision: str) -> None:
    """Refuse a downgrade if one of its steps from this one on would delete what it may not.

    Each downgrade of the store's begins with it: so it is refused before the first of them, also
    where each step has a transaction of its own. What a step deletes, its module has in `deletes`.

    Raises:
        DataExists: there is something that would be deleted; Alembic's command gets a CommandError.
    """
    migration = current()
    deleted = {
        getattr(step.revision.module, "deletes", "")
        for step in _steps_from(revision, migration.context)
    }
    kinds = [kind for kind in DELETABLE if kind in deleted - migration.may_delete]
    if kinds:
        sql = statement("message_store_0001", "refuse_loss", migration.schema)
        _send(migration, [sql.replace("{kinds}", f"ARRAY{kinds}")])


def _steps_from(revision: str, context: MigrationContext) -> list[RevisionStep]:
    """Return the steps of a downgrade from a revision on, as planned before the first of them.

    Raises:
        CommandError: the revision is none of them, so that nobody knows what follows it.
    """
    # Alembic hands its plan to nobody. It is made from what the database is at, so that it has to
    # be kept: made again after a step, a target like -2 would be another one. It is the context's:
    # an environment that migrates several databases has one for each, but the same options.
    plan = _plans.get(context, [])
    if all(step.revision.revision != revision for step in plan):
        plan = _plans[context] = list(context.opts["fn"](context.get_current_heads(), context))
    following = list(dropwhile(lambda step: step.revision.revision != revision, plan))
    if not following:
        raise CommandError(
            f"The downgrade of {revision} is none of the steps that Alembic has planned, so that "
            "nobody knows what would be deleted: run it with `alembic downgrade`"
        )
    return following


def run(revision: str, *names: str) -> None:
    """Run SQL files of a revision, each one statement, in the schema that is configured.

    The text reaches the server, or the script of `--sql`, exactly as it stands in the file: `:name`
    is no bind parameter and `%` is not doubled, whatever parameter style the environment uses.
    """
    migration = current()
    _send(migration, [statement(revision, name, migration.schema) for name in names])


def _send(migration: Migration, statements: list[str]) -> None:
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


def checked_schema(name: str) -> str:
    """Return the name of a schema as a plain string.

    Raises:
        InvalidSchemaName: it is no string, is empty or longer than 63 bytes, or has a `$`, a
            bracket or a NUL in it.
    """
    if (
        not isinstance(name, str)
        or not is_storable(name)
        or not 0 < len(name.encode()) <= 63
        # The brackets are those that SQLAlchemy can't translate.
        or any(each in name for each in "$[]")
    ):
        raise InvalidSchemaName(name)
    return plain(name)


def statement(revision: str, name: str, schema: str) -> str:
    """Return the statement in an SQL file of a revision, with the name of the schema put in.

    `{schema}` stands for the name as an identifier, `{schema_literal}` for the identifier as a
    string, which is what `to_regclass` and its like read, and `{schema_literal.messages}` for the
    same with the name of an object in the schema.

    Raises:
        InvalidSchemaName: the name is empty, longer than 63 bytes, or has a `$`, a bracket or a NUL
            in it.
    """
    schema = checked_schema(schema)
    identifier = '"' + schema.replace('"', '""') + '"'
    literal = identifier.replace("'", "''")
    file = files("mdb_sqla.versions").joinpath("sql", revision, f"{name}.sql")
    sql = file.read_text(encoding="utf-8")

    def value(match: re.Match[str]) -> str:
        return identifier if match[1] is None else f"'{literal}{match[2]}'"

    return re.sub(r"\{schema(?:(_literal)([^}]*))?\}", value, sql)
