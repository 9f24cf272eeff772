"""The switch to another version of a projection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from mdb_sqla.admin.brief_locks import with_brief_locks
from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.operation_log import record
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.engine_argument import read_committed
from mdb_sqla.projections.open_snapshots import wait_for_snapshots
from mdb_sqla.projections.remaining_messages import (
    apply_remaining,
    check_remaining,
    lock_categories,
    register_at,
    slots_of,
    unregister,
)
from mdb_sqla.projections.table_exchange import exchange
from mdb_sqla.projections.target_table import TargetTable
from mdb_sqla.projections.version_table import check_dependents
from mdb_sqla.projections.versions import (
    Versions,
    consumer_name,
    inline_name,
    lock,
    own_table,
    read_versions,
)

__all__ = ["switch"]


def switch(
    engine: Engine,
    projection: ProjectionDefinition[Any],
    *,
    slots: int | None = None,
    wait: float = 60.0,
    by: str | None = None,
) -> int:
    """Make a version that was filled with `rebuild` the current one.

    Waits for transactions whose snapshots are older than the rows of the version. Then, in one
    transaction that locks out the writers of the categories and the readers of the table, applies
    the last messages, and exchanges the names of both tables with their indexes, privileges and
    owner. A reader sees either all rows of the old version or all of the new one.

    The table of the old version is then called `<table>_v<version>`, and its consumer continues to
    maintain it until `drop`; so you can switch back, with the old definition. A version that was
    maintained inline is not maintained any more. If the switch fails or is killed, nothing was
    changed. It is recorded in the log of operations.

    Args:
        engine: an engine that connects as the owner of the store and of the table.
        projection: the version to switch to.
        slots: the number of slots of the version's consumer from now on, which is that of its
            `Group`, or 1 without one; by default, that of the old version's consumer.
        wait: the timeout in seconds for snapshots, and for locks.
        by: who does it, for the log of operations; by default the database role.

    Returns:
        The version that was current before; 0 if none was.

    Raises:
        NotOffered: the store is distributed with Citus.
        ProjectionRefused: the version has no table of its own, its consumer has many messages left
            or dead letters, or something depends on the old table, such as a view.
        StoreBusy: transactions did not end before the timeout. Nothing was changed.
    """
    engine, former = read_committed(engine), 0
    with translated(), engine.begin() as connection:
        lock(connection, projection.name)
        versions = _checked(connection, projection)
        check_remaining(connection, projection)
        check_dependents(connection, projection, versions.schema)
    wait_for_snapshots(engine, projection.name, wait)

    def work(connection: Connection) -> None:
        nonlocal former
        lock(connection, projection.name, exclusive=True)
        versions = _checked(connection, projection)
        check_remaining(connection, projection)
        check_dependents(connection, projection, versions.schema)
        former = versions.current or 0
        last = lock_categories(connection, projection)
        name = consumer_name(projection.name, projection.version)
        own = own_table(projection.mapping.table.name, projection.version)
        target = TargetTable(projection.mapping, versions.schema, own)
        apply_remaining(connection, projection, target, last)
        exchange(connection, projection, versions.schema, former)
        if former and versions.modes[former] == "inline":
            unregister(connection, name)
            unregister(connection, inline_name(projection.name, former))
            inline = inline_name(projection.name, projection.version)
            register_at(connection, projection, inline, number=1, position=None)
        else:
            replaced = slots_of(connection, consumer_name(projection.name, former))
            number = slots or (replaced[0].slots if replaced else 1)
            register_at(connection, projection, name, number=number, position=last)
        details = {"version": projection.version, "former": former}
        record(connection, "switch_projection", projection.name, details=details, by=by)

    with_brief_locks(engine, work, wait=wait, unchanged=f"Projection {projection.name!r}")
    return former


def _checked(connection: Connection, projection: ProjectionDefinition[Any]) -> Versions:
    versions = read_versions(connection, projection)
    if projection.version in versions.with_tables:
        return versions
    raise ProjectionRefused(
        projection.name,
        f"version {projection.version} is current already"
        if versions.current == projection.version
        else f"version {projection.version} has no table of its own: fill one with mdb projections "
        "rebuild first",
    )
