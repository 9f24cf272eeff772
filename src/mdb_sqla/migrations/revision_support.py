"""Helpers for the store's own revisions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import dropwhile
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from alembic import op
from alembic.util import CommandError

from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import MessageStoreError, Refusal
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, execute, safe_search_path, statement
from mdb_sqla.words.lock_granularity import LockGranularity

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep

__all__ = [
    "DELETABLE",
    "SCHEMA_OPTION",
    "Migration",
    "command_error",
    "configured",
    "configured_schema",
    "refuse_loss",
    "run",
    "running",
]

SCHEMA_OPTION = "message_store_schema"
"""The option in `alembic.ini` or `[tool.alembic]` with the schema of the store."""

DELETABLE = ("messages", "consumers", "retention", "keys", "operations")
"""What a downgrade deletes only if it is allowed to: messages; the state of consumers, which is
their positions, members, dead letters and registrations; that of retention, which is its policies,
the log of deletions, and the positions from which streams continue after their messages were
deleted; the keys of subjects, with which personal data is encrypted; and the log of operations,
with the pauses of consumers. On Alembic's command line, allow it with `-x delete_messages=yes`.
"""


class Migration(NamedTuple):
    """The parameters of a running revision.

    Attributes:
        context: Alembic's migration context.
        schema: the schema of the store.
        lock_granularity: what writers lock in a new store; None for the default.
        may_delete: the elements of `DELETABLE` that a downgrade may delete.
    """

    context: MigrationContext
    schema: str
    lock_granularity: LockGranularity | None = None
    may_delete: frozenset[str] = frozenset()


_CREATE = re.compile("^CREATE FUNCTION", re.MULTILINE)

_plans: WeakKeyDictionary[MigrationContext, list[RevisionStep]] = WeakKeyDictionary()
_current: ContextVar[Migration | None] = ContextVar("_current", default=None)


@contextmanager
def running(migration: Migration) -> Iterator[None]:
    """Run revisions without an Alembic environment, which would be shared by the whole process."""
    token = _current.set(migration)
    try:
        yield
    finally:
        _current.reset(token)


def configured() -> Migration:
    """Return the migration that the application's Alembic environment is running.

    Raises:
        CommandError: an argument passed with `-x` is invalid.
        NameError: Alembic is not running a migration.
    """
    context = op.get_context()
    environment = context.environment_context
    arguments = environment.get_x_argument(as_dictionary=True) if environment else {}
    granularity = arguments.get("lock_granularity")
    with command_error():
        lock_granularity = None if granularity is None else LockGranularity(granularity)
    return Migration(
        context,
        configured_schema(context),
        lock_granularity,
        frozenset(kind for kind in DELETABLE if arguments.get(f"delete_{kind}") == "yes"),
    )


def configured_schema(context: MigrationContext) -> str:
    """Return the schema of the store as configured for Alembic."""
    if context.config is None:
        return DEFAULT_SCHEMA
    return context.config.get_alembic_option(SCHEMA_OPTION, DEFAULT_SCHEMA)


@contextmanager
def command_error() -> Iterator[None]:
    """Convert our errors to a `CommandError`, which Alembic prints without a traceback."""
    try:
        yield
    except MessageStoreError as error:
        raise CommandError(". ".join([str(error), *getattr(error, "__notes__", ())])) from error


def refuse_loss(revision: str) -> None:
    """Reject a downgrade if this step or a later one would delete data that must be kept.

    Every downgrade of the store's revisions starts with this check, so nothing has been deleted
    when it fails, even if each step has a separate transaction. A revision's module lists in
    `deletes` what its downgrade deletes, or says `is_irreversible`; then its downgrade fails.

    Raises:
        DataExists: data would be deleted; in Alembic's command, a CommandError.
        NotOffered: a step is irreversible; in Alembic's command, a CommandError.
    """
    migration = _current.get() or configured()
    modules = [step.revision.module for step in _steps_from(revision, migration.context)]
    for module in modules:
        if getattr(module, "is_irreversible", False):
            module.downgrade()
    deleted = {kind for module in modules for kind in getattr(module, "deletes", ())}
    kinds = [kind for kind in DELETABLE if kind in deleted - migration.may_delete]
    if kinds:
        name = "steps/refuse_loss"
        _send(migration, [statement("message_store_0003", name, migration.schema, kinds=kinds)])


def _steps_from(revision: str, context: MigrationContext) -> list[RevisionStep]:
    """Return the steps of a downgrade, starting with a revision, as planned before the first step.

    Raises:
        CommandError: the revision is not one of the steps, so it is unknown what follows it.
    """
    # Alembic does not expose its plan. It depends on the current revision of the database, so it is
    # remembered: computed again after a step, a target such as -2 would mean another revision. It
    # is remembered by context, because an environment that migrates several databases has a context
    # for each, but the same options.
    plan = _plans.get(context, [])
    if all(step.revision.revision != revision for step in plan):
        plan = _plans[context] = list(context.opts["fn"](context.get_current_heads(), context))
    following = list(dropwhile(lambda step: step.revision.revision != revision, plan))
    if not following:
        raise CommandError(
            f"The downgrade of {revision} is not one of the steps planned by Alembic, so it is "
            "unknown what would be deleted: run it with `alembic downgrade`"
        )
    return following


def run(revision: str, *names: str, replace: bool = False) -> None:
    """Run SQL files of a revision, each with one statement, in the configured schema.

    The server, or the script that `--sql` writes, gets the text of the file with its placeholders
    replaced.

    Args:
        revision: the id of the revision.
        names: the paths of the files in the folder of the revision, without `.sql`.
        replace: whether functions that the files create exist already, and are replaced.
    """
    migration = _current.get() or configured()
    granularity = migration.lock_granularity
    statements = [
        statement(revision, name, migration.schema, lock_granularity=granularity) for name in names
    ]
    if replace:
        statements = [_CREATE.sub("CREATE OR REPLACE FUNCTION", sql) for sql in statements]
    _send(migration, statements)


def _send(migration: Migration, statements: list[str]) -> None:
    if migration.context.as_sql:
        with safe_search_path(migration.context.impl.static_output) as output:
            for sql in statements:
                output(sql)
        return
    connection = migration.context.connection
    assert connection is not None  # noqa: S101 (only a script has no connection)
    try:
        with translated(), safe_search_path(partial(execute, connection)) as send:
            for sql in statements:
                send(sql)
    except Refusal:
        if _current.get() is not None:
            raise
        with command_error():
            raise
