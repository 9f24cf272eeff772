"""The projections of a store, as the database knows them, and the removal of versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from sqlalchemy import Connection, Engine, text

from mdb_sqla.admin.brief_locks import with_brief_locks
from mdb_sqla.admin.consumer_changes import delete_consumer
from mdb_sqla.admin.consumer_overview import consumers
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.consumers.registry import registered_without_consumer
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import Database, connection_of, database, ddl, quoted
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.operation_log import record
from mdb_sqla.projections.engine_argument import read_committed
from mdb_sqla.projections.versions import VERSION_NAME, consumer_name, lock
from mdb_sqla.words.argument_checks import integer, key

__all__ = ["ProjectionVersion", "Status", "drop", "projections"]

Status = Literal["current", "inline", "other"]
"""`current`: maintained by its consumer; `inline`: the current version, maintained by the writers;
`other`: a version with a table of its own, which is being filled or was replaced."""

_COMMENT = re.compile(
    r"mdb_sqla: projection (?P<projection>.+), version (?P<version>\d+)", re.DOTALL
)


@dataclass(frozen=True)
class ProjectionVersion:
    """A version of a projection.

    Attributes:
        projection: the projection's name.
        version: the version.
        status: what it is: `current`, `inline` or `other`.
        table: the table of a version that is not current, with its schema; None for the
            application's.
        lag: the positions and the lag of its consumer; None if it has none.
    """

    projection: str
    version: int
    status: Status
    table: str | None
    lag: Lag | None


def projections(db: Database) -> list[ProjectionVersion]:
    """Return all versions of all projections, by name and version.

    Args:
        db: a session or connection in a transaction, which is left unchanged.

    Raises:
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    tables = _tables(connection_of(db))
    found: dict[tuple[str, int], ProjectionVersion] = {
        (name, version): ProjectionVersion(name, version, "other", f"{schema}.{table}", None)
        for (name, version), (schema, table) in tables.items()
    }
    lags = {each.name: each.lag for each in consumers(db)}
    lags.update(dict.fromkeys(registered_without_consumer(db)))
    for registered_name, lag in lags.items():
        if (match := VERSION_NAME.fullmatch(registered_name)) is None:
            continue
        name, version = match["projection"], int(match["version"])
        known = found.get((name, version))
        status: Status = "other" if known else "inline" if match["inline"] else "current"
        found[name, version] = ProjectionVersion(
            name,
            version,
            status,
            None if known is None else known.table,
            lag,
        )
    return [found[key] for key in sorted(found)]


def drop(
    engine: Engine, projection: str, version: int, *, wait: float = 60.0, by: str | None = None
) -> None:
    """Delete a version of a projection that is not the current one: its table and its consumer.

    Stop its consumer first. It is recorded in the log of operations.

    Args:
        engine: an engine that connects as the owner of the store and of the table.
        projection: the projection's name.
        version: the version; 0 for a table that no version had maintained.
        wait: the timeout in seconds for locks.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        ProjectionRefused: there is no such version, or it is the current one.
        InvalidArgument: a member of its consumer's group is alive.
        NotOffered: the store is distributed with Citus.
        StoreBusy: transactions that use the table did not end before the timeout.
    """
    name, version = key("projection", projection), integer("version", version, 0)

    def work(connection: Connection) -> None:
        lock(connection, name, exclusive=True)
        found = _tables(connection).get((name, version))
        if found is None:
            raise ProjectionRefused(
                name, f"version {version} has no table of its own, so it can't be dropped"
            )
        schema, table = (quoted(each) for each in found)
        consumer = consumer_name(name, version)
        if any(each.name == consumer for each in consumers(connection, examine=1)):
            delete_consumer(connection, consumer, by=by)
        connection.execute(ddl("DROP TABLE %(schema)s.%(table)s", schema=schema, table=table))
        record(connection, "drop_projection", name, details={"version": version}, by=by)

    with_brief_locks(read_committed(engine), work, wait=wait, unchanged=f"Projection {name!r}")


def _tables(connection: Connection) -> dict[tuple[str, int], tuple[str, str]]:
    """Return the schema and name of the table of each version that has one of its own."""
    refuse_on_citus(connection, Unoffered.PROJECTIONS)
    with translated():
        rows = connection.execute(_statement(), {"marker": "mdb_sqla: projection "}).all()
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for row in rows:
        if (match := _COMMENT.fullmatch(row.comment)) is not None:
            found[match["projection"], int(match["version"])] = row.schema, row.name
    return found


@cache
def _statement() -> Any:
    return text(files(__package__).joinpath("version_tables.sql").read_text(encoding="utf-8"))
