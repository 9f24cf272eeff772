"""The tables of versions: creating one, and exchanging it with the table of the application."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Connection,
    Executable,
    ForeignKeyConstraint,
    MetaData,
    Table,
    func,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable, SetColumnComment

from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import quoted
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.versions import MARKER, own_table

__all__ = [
    "check_dependents",
    "comment_on",
    "create_own_table",
    "own_name",
    "plain",
    "qualified_name",
    "statement",
]

_MAX_NAME = 63  # bytes, as PostgreSQL is built


def create_own_table(
    connection: Connection, projection: ProjectionDefinition[Any], schema: str
) -> None:
    """Create the table of a version, as the definition says: columns, constraints and indexes.

    Raises:
        ProjectionRefused: there is another table with this name, or a name is too long.
    """
    table, version = projection.mapping.table, projection.version
    name = own_table(table.name, version)
    if connection.scalar(select(func.to_regclass(qualified_name(schema, name)))) is not None:
        raise ProjectionRefused(
            projection.name,
            f"table {schema}.{name} exists, and is not that of a version; rename it",
        )
    copy = _renamed(connection, projection, table, schema, name)
    with translated():
        connection.execute(CreateTable(copy))
        for index in copy.indexes:
            connection.execute(CreateIndex(index))
        for column in copy.columns:
            if column.comment:
                connection.execute(SetColumnComment(column))
        comment_on(connection, schema, name, f"{MARKER.format(projection.name)}{version}")


def _renamed(
    connection: Connection,
    projection: ProjectionDefinition[Any],
    table: Table,
    schema: str,
    name: str,
) -> Table:
    """Return a copy of a table, with names of its own for what shares the names of the schema."""
    metadata, copied = MetaData(), set[Any]()
    for key in table.foreign_keys:
        referred = key.column.table
        if referred is not table and referred not in copied:
            copied.add(referred)
            if referred.schema == table.schema:
                referred.to_metadata(metadata, schema=schema)
            else:
                referred.to_metadata(metadata)
    copy = table.to_metadata(metadata, schema=schema, name=name)
    copy.comment = None
    preparer = connection.dialect.identifier_preparer
    # With the naming convention of the application's metadata, by its own name.
    names = {
        _columns(each): str(preparer.format_constraint(each)).strip('"')
        for each in table.constraints
        if each.name is not None and not isinstance(each, CheckConstraint | ForeignKeyConstraint)
    }
    for constraint in copy.constraints:
        if (known := names.get(_columns(constraint))) is not None:
            constraint.name = own_name(known, table.name, name)
    for index, original in zip(_sorted(copy), _sorted(table), strict=True):
        known = str(preparer.format_index(original)).strip('"')
        index.name = own_name(known, table.name, name)
        if len(index.name.encode()) > _MAX_NAME:
            raise ProjectionRefused(
                projection.name,
                f"the name of index {known!r} is too long to add the number of a version to it",
            )
    if len(name.encode()) > _MAX_NAME:
        raise ProjectionRefused(
            projection.name,
            f"the name of table {table.name!r} is too long to add the number of a version to it",
        )
    return copy


def _columns(constraint: Any) -> tuple[str, tuple[str, ...]]:
    return type(constraint).__name__, tuple(each.name for each in constraint.columns)


def _sorted(table: Table) -> list[Any]:
    """Return the indexes of a table in an order that does not depend on its name."""

    def content(index: Any) -> tuple[list[str], bool, str]:
        names = [str(getattr(each, "name", each)) for each in index.expressions]
        return names, bool(index.unique), str(index.dialect_options["postgresql"]["where"])

    return sorted(table.indexes, key=content)


def own_name(name: str, table: str, own: str) -> str:
    """Return the name of an index or sequence of a table, for a table with another name."""
    if name.startswith(f"{table}_"):
        return own + name.removeprefix(table)
    return name + own.removeprefix(table)


def check_dependents(
    connection: Connection, projection: ProjectionDefinition[Any], schema: str
) -> None:
    """Check that nothing depends on the application's table that an exchange would leave behind.

    Raises:
        ProjectionRefused: something does, such as a view or a trigger.
    """
    name = projection.mapping.table.name
    parameters = {"table_name": qualified_name(schema, name)}
    with translated():
        found = list(connection.execute(statement("dependents"), parameters).scalars())
    if found:
        raise ProjectionRefused(
            projection.name,
            f"another table can't take the place of {schema}.{name}, because that has dependents: "
            f"{', '.join(found)}",
        )


def comment_on(connection: Connection, schema: str, name: str, comment: str | None) -> None:
    literal = "NULL" if comment is None else connection.scalar(_LITERAL, {"comment": comment})
    connection.execute(plain(f"COMMENT ON TABLE {qualified_name(schema, name)} IS {literal}"))


_LITERAL = text("SELECT quote_literal(CAST(:comment AS text))")


def plain(statement: str) -> Executable:
    """Return a statement without parameters."""
    return text(statement.replace(":", r"\:"))


def qualified_name(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


@cache
def statement(name: str) -> Any:
    source = files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return text(source)
