"""The versions of a projection in the database, and the locks that keep them as they are.

Nothing else records which version is current: a version is current if it is registered, as a
consumer or inline, and has no table of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ARRAY, BigInteger, Connection, Table, bindparam, func, select, text

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import quoted, schema_of
from mdb_sqla.errors import ProjectionRefused

if TYPE_CHECKING:
    from mdb_sqla.projections.definition import ProjectionDefinition

__all__ = [
    "MARKER",
    "VERSION_NAME",
    "Mode",
    "Versions",
    "consumer_name",
    "inline_name",
    "lock",
    "lock_keys",
    "lock_number",
    "own_table",
    "read_versions",
]

Mode = Literal["async", "inline"]
"""How the current version of a projection is maintained: by its consumer, or by the writers."""

MARKER = "mdb_sqla: projection {}, version "
"""How the comment of a table begins that belongs to a version which is not the current one."""

VERSION_NAME = re.compile(r"(?P<projection>.+):v(?P<version>[0-9]+)(?P<inline>:inline)?", re.DOTALL)
"""Matches the names under which versions of projections are registered in the table `consumers`."""


def consumer_name(projection: str, version: int) -> str:
    """Return the name of the consumer of a version."""
    return f"{projection}:v{version}"


def inline_name(projection: str, version: int) -> str:
    """Return the name under which a version is registered that is maintained inline."""
    return f"{consumer_name(projection, version)}:inline"


def own_table(table: str, version: int) -> str:
    """Return the name of the table of a version that is not the current one."""
    return f"{table}_v{version}"


@dataclass(frozen=True)
class Versions:
    """The versions of a projection in the database.

    Attributes:
        projection: the projection's name.
        schema: the schema of the application's table.
        modes: how each version is maintained that is registered.
        with_tables: the versions that have a table of their own, of those and of the requested one.
    """

    projection: str
    schema: str
    modes: Mapping[int, Mode]
    with_tables: frozenset[int]

    @property
    def current(self) -> int | None:
        """The current version; None if none is registered.

        Raises:
            ProjectionRefused: there are several.
        """
        found = sorted(self.modes.keys() - self.with_tables)
        if len(found) > 1:
            names = " and ".join(map(str, found))
            raise ProjectionRefused(
                self.projection,
                f"versions {names} are both registered without a table of their own; delete the "
                "consumer of the one that does not maintain the table",
            )
        return found[0] if found else None


@cache
def _statement(schema: str) -> Any:
    source = files(__package__).joinpath("state.sql").read_text(encoding="utf-8")
    return text(source.replace("{schema}", quoted(schema).replace(":", r"\:")))


def read_versions(connection: Connection, projection: ProjectionDefinition[Any]) -> Versions:
    """Return the versions of a projection.

    Raises:
        NotOffered: the store is distributed with Citus.
        ProjectionRefused: the application's table does not exist.
        StoreNotInstalled: the database has no store.
    """
    refuse_on_citus(connection, Unoffered.PROJECTIONS)
    table = projection.mapping.table
    parameters = {
        "table_name": _qualified(connection, table),
        "prefix": f"{projection.name}:v",
        "version": str(projection.version),
        "marker": MARKER.format(projection.name),
    }
    with translated():
        rows = connection.execute(_statement(schema_of(connection)), parameters).all()
    if not rows:
        raise ProjectionRefused(
            projection.name, f"table {_qualified(connection, table)} does not exist"
        )
    modes: dict[int, Mode] = {}
    with_tables: set[int] = set()
    for row in rows:
        number, _, mode = row.suffix.partition(":")
        if not number.isdecimal():
            continue  # another consumer, whose name begins in the same way
        if row.is_registered:
            modes[int(number)] = "inline" if mode == "inline" else "async"
        if row.has_table:
            with_tables.add(int(number))
    return Versions(projection.name, rows[0].schema, modes, frozenset(with_tables))


def _qualified(connection: Connection, table: Table) -> str:
    """Return the name of a table, with its schema as translated by `schema_translate_map`."""
    schemas = connection.get_execution_options().get("schema_translate_map") or {}
    schema = schemas.get(table.schema, table.schema)
    return quoted(table.name) if schema is None else f"{quoted(schema)}.{quoted(table.name)}"


def lock_number(projection: str, key: str | None = None) -> int:
    """Return the key of the advisory lock on a projection, or on one of its rows."""
    name = f"mdb_sqla projection {projection}" + ("" if key is None else f"\0{key}")
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


# One after another, in the order of the array.
_NUMBERS = (
    func.unnest(bindparam("numbers", type_=ARRAY(BigInteger)))
    .table_valued("number")
    .render_derived()
)
_SHARED = select(func.pg_catalog.pg_advisory_xact_lock_shared(_NUMBERS.c.number))
_EXCLUSIVE = select(func.pg_catalog.pg_advisory_xact_lock(_NUMBERS.c.number))


def lock(connection: Connection, *projections: str, exclusive: bool = False) -> None:
    """Lock projections until the transaction ends.

    Whatever changes rows holds the lock, shared; whatever changes versions holds it alone.
    """
    numbers = sorted(map(lock_number, projections))
    with translated():
        connection.execute(_EXCLUSIVE if exclusive else _SHARED, {"numbers": numbers})


def lock_keys(connection: Connection, numbers: Iterable[int]) -> None:
    """Lock rows of projections until the transaction ends, in one order for all writers."""
    with translated():
        connection.execute(_EXCLUSIVE, {"numbers": sorted(numbers)})
