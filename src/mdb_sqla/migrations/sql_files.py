"""The SQL files of revisions, and how they are sent."""

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


@contextmanager
def safe_search_path(send: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Send statements that find PostgreSQL's own functions and operators, and no others.

    It is for a transaction, and restores the search path after the last of them. After an error
    the transaction, or its savepoint, does.
    """
    send(_SET_SAFE)
    yield send
    send(_RESTORE)


def execute(connection: Connection, sql: str) -> None:
    """Send a statement to the server as it is.

    `:name` in it is no bind parameter, and `%` is not doubled, whatever parameter style there is.
    """
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


def statement(revision: str, name: str, schema: str, **literals: str | list[str] | None) -> str:
    """Return the statement in an SQL file of a revision, with names and values put in.

    `{schema}` stands for the name of the schema as an identifier, `{schema_literal}` for the
    identifier as a string, which is what `to_regclass` and its like read,
    `{schema_literal.messages}` for the same with the name of an object in the schema, and
    `{schema_name}` for the plain name as a string.

    Args:
        revision: the id of the revision.
        name: the path of the file in the folder of the revision, without `.sql`.
        schema: the name of the schema.
        literals: values that the file has in braces, such as `{kinds}`.

    Raises:
        InvalidSchemaName: the name of the schema can't be one.
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
