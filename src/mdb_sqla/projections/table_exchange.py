"""The exchange of the names of two tables, with their indexes, sequences and privileges."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import ddl, quoted
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.version_table import (
    comment_on,
    own_name,
    plain,
    qualified_name,
    statement,
)
from mdb_sqla.projections.versions import MARKER, own_table

__all__ = ["exchange", "final_name"]


def final_name(name: str, table: str, own: str) -> str:
    """Undo `own_name`; a name that it has not returned is unchanged."""
    if name.startswith(f"{own}_"):
        return table + name.removeprefix(own)
    return name.removesuffix(own.removeprefix(table))


def exchange(
    connection: Connection, projection: ProjectionDefinition[Any], schema: str, former: int
) -> None:
    """Give the table of a version the name of the application's table, and that another name.

    Args:
        connection: a connection in a transaction with a lock timeout.
        projection: the projection.
        schema: the schema.
        former: the version that has maintained the application's table; 0 if none has.
    """
    table = projection.mapping.table.name
    new, old = own_table(table, projection.version), own_table(table, former)
    with translated():
        _execute(
            connection,
            "LOCK TABLE %(schema)s.%(table)s, %(schema)s.%(new)s IN ACCESS EXCLUSIVE MODE",
            schema=schema,
            table=table,
            new=new,
        )
        _copy_privileges(connection, schema, table, new)
        comment = connection.scalar(_COMMENT, {"table_name": qualified_name(schema, table)})
        for kind, name in _objects(connection, schema, table):
            _rename(connection, kind, schema, name, own_name(name, table, old))
        _rename(connection, "TABLE", schema, table, old)
        comment_on(connection, schema, old, f"{MARKER.format(projection.name)}{former}")
        for kind, name in _objects(connection, schema, new):
            _rename(connection, kind, schema, name, final_name(name, table, new))
        _rename(connection, "TABLE", schema, new, table)
        comment_on(connection, schema, table, comment)


_COMMENT = text("SELECT pg_catalog.obj_description(to_regclass(:table_name), 'pg_class')")


def _copy_privileges(connection: Connection, schema: str, table: str, new: str) -> None:
    parameters = {
        "table_name": qualified_name(schema, table),
        "successor_name": qualified_name(schema, new),
    }
    for row in connection.execute(statement("grants"), parameters).all():
        option = " WITH GRANT OPTION" if row.is_grantable else ""
        # The server has quoted both.
        what = f"{row.privilege} ON TABLE {qualified_name(schema, new)}"
        connection.execute(plain(f"GRANT {what} TO {row.grantee}{option}"))
    owners = connection.execute(_OWNERS, parameters).one()
    if owners.owner != owners.successor:
        _execute(
            connection,
            "ALTER TABLE %(schema)s.%(new)s OWNER TO %(owner)s",
            schema=schema,
            new=new,
            owner=owners.owner,
        )


_OWNERS = text(
    "SELECT pg_get_userbyid(a.relowner) AS owner, pg_get_userbyid(b.relowner) AS successor "
    "FROM pg_class AS a, pg_class AS b "
    "WHERE a.oid = to_regclass(:table_name) AND b.oid = to_regclass(:successor_name)"
)


def _objects(connection: Connection, schema: str, table: str) -> list[tuple[str, str]]:
    parameters = {"table_name": qualified_name(schema, table)}
    rows = connection.execute(statement("objects"), parameters)
    return [(row.kind, row.name) for row in rows]


def _rename(connection: Connection, kind: str, schema: str, name: str, new: str) -> None:
    if name != new:
        statement = f"ALTER {kind} %(schema)s.%(name)s RENAME TO %(new)s"
        _execute(connection, statement, schema=schema, name=name, new=new)


def _execute(connection: Connection, statement: str, **names: str) -> None:
    connection.execute(ddl(statement, **{name: quoted(each) for name, each in names.items()}))
