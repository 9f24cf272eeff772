"""The structure of a store's schema, and of what the revisions create on the same server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    TextClause,
    column,
    func,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.exc import ProgrammingError

from mdb_sqla import migrations
from mdb_sqla.database.execution import quoted

__all__ = ["Grant", "Structure", "expected", "found", "in_source", "unqualified"]

_PREFIX = "mdb_sqla_"  # prefix of the version table and the scratch table
_namespace = table("pg_namespace", column("oid"), column("nspname"), schema="pg_catalog")


class Grant(NamedTuple):
    """A privilege of a role on an object."""

    kind: str
    name: str
    grantee: str
    privilege: str


class Structure(NamedTuple):
    """The structure of a schema.

    Attributes:
        parts: the definitions of tables, columns, functions and so on, by kind and name, without
            the schema's name.
        explicit: the privileges granted to roles directly.
        effective: the privileges that roles have, directly or not.
        revisions: the current revisions; None if there is no readable version table.
    """

    parts: dict[tuple[str, str], str]
    explicit: set[Grant]
    effective: set[Grant]
    revisions: set[str] | None


def found(connection: Connection, schema: str) -> Structure:
    """Return the structure of a schema; the connection's transaction is left unchanged."""
    with _rolled_back(connection):
        return _read(connection, schema)


def expected(connection: Connection, *, roles: bool) -> Structure:
    """Return the structure that the revisions create on this server.

    They are applied to the connection's temporary schema, in a savepoint that is rolled back. No
    other session sees the objects, and only the privilege to create temporary tables is required.

    Args:
        connection: a connection in a transaction.
        roles: whether to apply the revisions of the roles too, which create missing roles.

    Raises:
        DBAPIError: the role may not create temporary tables.
        NotPermitted: with `roles`, the role may not create roles.
    """
    with _rolled_back(connection):
        # Makes PostgreSQL create the temporary schema.
        scratch = Table(
            f"{_PREFIX}scratch", MetaData(), Column("n", Integer), prefixes=["TEMPORARY"]
        )
        scratch.create(connection)
        connection.execute(_sql("no_defaults"))
        name = select(_namespace.c.nspname).where(_namespace.c.oid == func.pg_my_temp_schema())
        schema: str = connection.scalars(name).one()
        migrations.upgrade(connection, schema=schema, roles=roles)
        return _read(connection, schema)


@contextmanager
def _rolled_back(connection: Connection) -> Iterator[None]:
    """Roll back the block, in which names are qualified, and quoted only if necessary."""
    with connection.begin_nested() as savepoint:
        for setting, value in (("search_path", ""), ("quote_all_identifiers", "off")):
            connection.execute(select(func.set_config(setting, value, True)))
        yield
        savepoint.rollback()


def _read(connection: Connection, schema: str) -> Structure:
    identifier = connection.scalar(select(func.quote_ident(schema)))
    source = f"{quoted(schema)}."
    written = [source, f"{identifier}.", *(["pg_temp."] if schema.startswith("pg_temp_") else [])]
    parts = {}
    for part in connection.execute(_sql("structure"), {"schema": schema}):
        name = part.name
        if part.kind.startswith("function"):
            name = unqualified(name, written)
        if not name.startswith(_PREFIX):
            # In the source of a function, `message_store.` may also be the prefix of a setting.
            qualifiers = in_source(schema) if part.is_source else written
            parts[part.kind, name] = unqualified(part.definition, qualifiers)
    explicit, effective = set(), set()
    for row in connection.execute(_sql("privileges"), {"schema": schema}):
        grant = Grant(row.kind, unqualified(row.name, written), row.grantee, row.privilege)
        if row.is_explicit:
            explicit.add(grant)
        if row.is_effective:
            effective.add(grant)
    return Structure(parts, explicit, effective, _revisions(connection, schema))


def in_source(schema: str) -> list[str]:
    """Return how the source of a function refers to its schema: as qualifier, and in its errors."""
    literal = "'" + schema.replace("'", "''") + "'"
    return [f"{quoted(schema)}.", f"SCHEMA = {literal}"]


def unqualified(definition: str, qualifiers: list[str]) -> str:
    """Return a definition without the qualifiers."""
    # As identifiers, and within string literals.
    written = [*qualifiers, *(qualifier.replace("'", "''") for qualifier in qualifiers)]
    any_of_them = "|".join(re.escape(qualifier) for qualifier in written)
    return re.sub(rf'(?<![\w$"])(?:{any_of_them})', "", definition)


def _revisions(connection: Connection, schema: str) -> set[str] | None:
    if not inspect(connection).has_table(migrations.VERSION_TABLE, schema):
        return None
    versions = Table(migrations.VERSION_TABLE, MetaData(), Column("version_num"), schema=schema)
    try:
        with connection.begin_nested():
            return set(connection.scalars(select(versions.c.version_num)))
    except ProgrammingError:
        return None  # Only the owner may read it.


@cache
def _sql(name: str) -> TextClause:
    """Return the statement of an SQL file in this package."""
    return text(files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8"))
