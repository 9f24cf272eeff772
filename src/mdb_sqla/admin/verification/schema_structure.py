"""What a store's schema has, and what the revisions make on the same server."""

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

__all__ = ["Grant", "Structure", "expected", "found", "unqualified"]

_OWN = "mdb_sqla_"  # the version table, and what makes PostgreSQL give a temporary schema
_namespace = table("pg_namespace", column("oid"), column("nspname"), schema="pg_catalog")


class Grant(NamedTuple):
    """What a role may do with an object."""

    kind: str
    name: str
    grantee: str
    privilege: str


class Structure(NamedTuple):
    """What a schema has.

    Attributes:
        parts: the definitions of tables, columns, functions and the like, by kind and name, with
            the schema's name taken out.
        explicit: what roles may do by a grant of their own.
        effective: what they may do in whatever way.
        revisions: where the migrations are; None where the schema has no version table, or
            it can't be read.
    """

    parts: dict[tuple[str, str], str]
    explicit: set[Grant]
    effective: set[Grant]
    revisions: set[str] | None


def found(connection: Connection, schema: str) -> Structure:
    """Return what is in a schema; the connection is in a transaction, which is left as it was."""
    with _aside(connection):
        return _read(connection, schema)


def expected(connection: Connection, *, roles: bool) -> Structure:
    """Return what the revisions make on this server; nothing of it stays.

    They are run in the connection's temporary schema, in a savepoint that is rolled back: nobody
    else ever sees any of it, and it takes no more than the right to make temporary tables, which
    everybody has unless it was taken away.

    Args:
        connection: in a transaction.
        roles: whether to run the revisions of roles, too, which create those that are not there.

    Raises:
        DBAPIError: it may not make temporary tables.
        NotPermitted: with `roles`, it may not create a role.
    """
    with _aside(connection):
        own = Table(f"{_OWN}scratch", MetaData(), Column("n", Integer), prefixes=["TEMPORARY"])
        own.create(connection)
        connection.execute(_sql("no_defaults"))
        name = select(_namespace.c.nspname).where(_namespace.c.oid == func.pg_my_temp_schema())
        schema: str = connection.scalars(name).one()
        migrations.upgrade(connection, schema=schema, roles=roles)
        return _read(connection, schema)


@contextmanager
def _aside(connection: Connection) -> Iterator[None]:
    """Undo everything, with settings that have PostgreSQL write the same names everywhere.

    It qualifies them, and quotes only those that have to be.
    """
    with connection.begin_nested() as savepoint:
        for setting, value in (("search_path", ""), ("quote_all_identifiers", "off")):
            connection.execute(select(func.set_config(setting, value, True)))
        yield
        savepoint.rollback()


def _read(connection: Connection, schema: str) -> Structure:
    identifier = connection.scalar(select(func.quote_ident(schema)))
    source = '"' + schema.replace('"', '""') + '".'
    written = [source, f"{identifier}.", *(["pg_temp."] if schema.startswith("pg_temp_") else [])]
    parts = {}
    for part in connection.execute(_sql("structure"), {"schema": schema}):
        name = part.name
        if part.kind.startswith("function"):
            name = unqualified(name, written)
        if not name.startswith(_OWN):
            # In the source of a function, `message_store.` may also be the name of a setting.
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
    """Return how the source of a function names its schema: as a qualifier, and in its errors."""
    identifier = '"' + schema.replace('"', '""') + '"'
    literal = "'" + schema.replace("'", "''") + "'"
    return [f"{identifier}.", f"SCHEMA = {literal}"]


def unqualified(definition: str, qualifiers: list[str]) -> str:
    """Take the schema out where a name begins with it, not where one ends like it."""
    # As identifiers, and within strings.
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
        return None  # It is its owner's to read.


@cache
def _sql(name: str) -> TextClause:
    """Return the statement in a file beside this module."""
    return text(files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8"))
