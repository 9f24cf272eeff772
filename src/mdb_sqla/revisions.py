"""What the store's own Alembic revisions are written with."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from alembic import op

from mdb_sqla.errors import InvalidSchemaName

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

__all__ = [
    "DEFAULT_SCHEMA",
    "DELETE_MESSAGES_OPTION",
    "SCHEMA_OPTION",
    "configured_schema",
    "execute",
    "may_delete_messages",
    "run",
    "statement",
]

DEFAULT_SCHEMA = "message_store"

SCHEMA_OPTION = "message_store_schema"
"""The option of `alembic.ini` or `[tool.alembic]` that names the schema of the store."""

DELETE_MESSAGES_OPTION = "delete_messages"
"""The `-x` argument of Alembic that lets a downgrade delete messages: `-x delete_messages=yes`."""


def configured_schema(context: MigrationContext) -> str:
    """Return the name of the schema that the store lives in, as Alembic is configured."""
    if context.config is None:
        return DEFAULT_SCHEMA
    return context.config.get_alembic_option(SCHEMA_OPTION, DEFAULT_SCHEMA)


def may_delete_messages() -> bool:
    """Whether the downgrade under way was told that it may delete messages."""
    environment = op.get_context().environment_context
    if environment is None:
        return False
    return environment.get_x_argument(as_dictionary=True).get(DELETE_MESSAGES_OPTION) == "yes"


def run(revision: str, *names: str) -> None:
    """Run SQL files of a revision, each one statement, in the schema that is configured.

    The text reaches the server, or the script of `--sql`, exactly as it stands in the file: `:name`
    is no bind parameter and `%` is not doubled, whatever parameter style the environment uses.
    """
    context = op.get_context()
    schema = configured_schema(context)
    for name in names:
        sql = statement(revision, name, schema)
        if context.as_sql:
            context.impl.static_output(sql)
        else:
            execute(op.get_bind(), sql)


def execute(connection: Connection, sql: str) -> None:
    """Send a statement to the server as it is."""
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def statement(revision: str, name: str, schema: str) -> str:
    """Return the statement in an SQL file of a revision, with the name of the schema put in.

    `{schema}` stands for the name as an identifier, `{schema_literal}` for the identifier as a
    string, which is what `to_regclass` and its like read.

    Raises:
        InvalidSchemaName: the name is empty, longer than 63 bytes, or has a `$` or a NUL in it.
    """
    if not 0 < len(schema.encode()) <= 63 or "$" in schema or "\0" in schema:
        raise InvalidSchemaName(schema)
    identifier = '"' + schema.replace('"', '""') + '"'
    literal = "'" + identifier.replace("'", "''") + "'"
    file = files("mdb_sqla.versions").joinpath("sql", revision, f"{name}.sql")
    sql = file.read_text(encoding="utf-8")
    return sql.replace("{schema}", identifier).replace("{schema_literal}", literal)
