"""The SQL files of revisions, and their execution."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING

from mdb_sqla.database.execution import quoted
from mdb_sqla.errors import InvalidSchemaName
from mdb_sqla.words.argument_checks import is_storable, plain

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "DEFAULT_SCHEMA",
    "SAFE_SEARCH_PATH",
    "checked_schema",
    "execute",
    "safe_search_path",
    "statement",
]

DEFAULT_SCHEMA = "message_store"

# Objects keep the functions and operators that they were created with. Other roles may be able to
# create functions and operators in the schema `public` that match better than PostgreSQL's own.
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
  -- Without a transaction, the setting was already reset.
  IF current_setting('mdb_sqla.search_path', true) LIKE '=%' THEN
    PERFORM set_config('search_path', substr(current_setting('mdb_sqla.search_path'), 2), true);
  END IF;
END
$do$;
"""


@contextmanager
def safe_search_path(send: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Send statements with a search path that has only PostgreSQL's functions and operators.

    Requires a transaction. The search path is restored after the last statement; after an error,
    the rollback of the transaction or savepoint restores it.
    """
    send(_SET_SAFE)
    yield send
    send(_RESTORE)


def execute(connection: Connection, sql: str) -> None:
    """Send a statement to the server unchanged.

    `:name` is not a bind parameter and `%` is not doubled, whatever the driver's parameter style.
    """
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def checked_schema(name: str) -> str:
    """Return a validated schema name as a plain string.

    Raises:
        InvalidSchemaName: the name is not a string, is empty or longer than 63 bytes, or contains
            `$`, a bracket or NUL.
    """
    if (
        not isinstance(name, str)
        or not is_storable(name)
        or not 0 < len(name.encode()) <= 63
        # SQLAlchemy can't translate names with brackets.
        or any(each in name for each in "$[]")
    ):
        raise InvalidSchemaName(name)
    return plain(name)


def statement(revision: str, name: str, schema: str, **literals: str | list[str] | None) -> str:
    """Return the statement in an SQL file of a revision, with its placeholders replaced.

    - `{schema}`: the schema name as an identifier.
    - `{schema_literal}`: the identifier as a string literal, for functions such as `to_regclass`.
    - `{schema_literal.messages}`: the same, with the name of an object in the schema.
    - `{schema_name}`: the plain schema name as a string literal.

    Args:
        revision: the id of the revision.
        name: the path of the file in the folder of the revision, without `.sql`.
        schema: the schema name.
        literals: the values of other placeholders, such as `{kinds}`.

    Raises:
        InvalidSchemaName: the schema name is invalid.
    """
    schema = checked_schema(schema)
    identifier = quoted(schema)
    file = files("mdb_sqla.versions").joinpath("sql", revision, f"{name}.sql")
    sql = file.read_text(encoding="utf-8")
    values = {"schema_name": schema, **literals}

    def value(match: re.Match[str]) -> str:
        if match["name"] == "schema":
            return identifier
        if match["name"] == "schema_literal":
            return _literal(identifier + (match["object"] or ""))
        return _literal(values[match["name"]])

    names = "|".join(["schema_literal", "schema", *values])
    return re.sub(rf"\{{(?P<name>{names})(?P<object>\.[^}}]*)?\}}", value, sql)


def _literal(value: str | list[str] | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]::text[]"
    return "'" + value.replace("'", "''") + "'"
