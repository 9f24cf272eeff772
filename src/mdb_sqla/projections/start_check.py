"""Checks before the consumer of a projection starts, or a version of it is filled."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, column, exists, inspect, literal_column, select, table

from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.versions import (
    Versions,
    consumer_name,
    lock,
    own_table,
    read_versions,
)
from mdb_sqla.tables import consumer_slots as slots

__all__ = ["check_columns", "check_start", "has_rows"]


def check_start(
    connection: Connection, projection: ProjectionDefinition[Any], *, may_have_rows: bool
) -> None:
    """Check that the consumer of a projection's version may maintain a table.

    Holds the lock on the projection until the transaction ends, so that the consumer is registered
    in the state that was checked.

    Args:
        connection: a connection in the transaction that registers the consumer.
        projection: the projection.
        may_have_rows: whether the table of a consumer that has no position yet may have rows.

    Raises:
        ProjectionRefused: it may not.
    """
    version = projection.version
    # Without a lock: one that is exclusive would block writers of a version that is inline.
    is_other = version in read_versions(connection, projection).with_tables
    lock(connection, projection.name, exclusive=not is_other)
    versions = read_versions(connection, projection)
    if version in versions.with_tables:
        check_columns(connection, projection, versions, own_table(_name(projection), version))
        return
    current = versions.current
    if current not in (None, version):
        raise ProjectionRefused(
            projection.name,
            f"version {current} is current; to replace it by version {version}, run mdb "
            "projections rebuild and mdb projections switch",
        )
    if versions.modes.get(version) == "inline":
        raise ProjectionRefused(
            projection.name,
            f"version {version} is maintained inline; to have its consumer maintain it, run mdb "
            "projections mode",
        )
    check_columns(connection, projection, versions, _name(projection))
    if may_have_rows or _has_begun(connection, projection):
        return
    if has_rows(connection, versions.schema, _name(projection)):
        raise ProjectionRefused(
            projection.name,
            f"table {versions.schema}.{_name(projection)} has rows, but its consumer "
            f"{consumer_name(projection.name, version)!r} has no position: messages would be "
            "applied twice. Empty the table, run mdb projections rebuild, or pass start, the "
            "position after the last message that the rows contain",
        )


def check_columns(
    connection: Connection, projection: ProjectionDefinition[Any], versions: Versions, name: str
) -> None:
    """Check that a table has the columns and the primary key of a projection.

    Raises:
        ProjectionRefused: a column is missing, or the primary key is another one.
    """
    inspector = inspect(connection)
    where = f"{versions.schema}.{name}"
    found = {each["name"] for each in inspector.get_columns(name, versions.schema)}
    missing = [each.name for each in projection.mapping.columns if each.name not in found]
    if missing:
        raise ProjectionRefused(
            projection.name, f"table {where} has no column {missing[0]!r}, which its rows have"
        )
    expected = {each.name for each in projection.mapping.key}
    stored = set(inspector.get_pk_constraint(name, versions.schema)["constrained_columns"])
    if stored != expected:
        raise ProjectionRefused(
            projection.name,
            f"the primary key of table {where} is ({', '.join(sorted(stored))}), not "
            f"({', '.join(sorted(expected))})",
        )


def has_rows(connection: Connection, schema: str, name: str) -> bool:
    """Return whether a table has rows."""
    rows = table(name, column("tableoid"), schema=schema)
    with translated():
        return bool(
            connection.scalar(select(exists(select(literal_column("1")).select_from(rows))))
        )


def _has_begun(connection: Connection, projection: ProjectionDefinition[Any]) -> bool:
    name = consumer_name(projection.name, projection.version)
    found = select(slots.c.slot).where(slots.c.consumer == name).limit(1)
    with translated():
        return connection.execute(found).first() is not None


def _name(projection: ProjectionDefinition[Any]) -> str:
    return projection.mapping.table.name
