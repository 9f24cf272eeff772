"""How a projection is maintained: by its consumer, or by the transactions that write messages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine

from mdb_sqla.admin.brief_locks import with_brief_locks
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.operation_log import record
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.deleted_history import deleted_up_to
from mdb_sqla.projections.engine_argument import read_committed
from mdb_sqla.projections.remaining_messages import (
    apply_remaining,
    check_remaining,
    lock_categories,
    register_at,
    slots_of,
    unregister,
)
from mdb_sqla.projections.start_check import check_columns, has_rows
from mdb_sqla.projections.target_table import TargetTable
from mdb_sqla.projections.versions import (
    Versions,
    consumer_name,
    inline_name,
    lock,
    read_versions,
)

__all__ = ["make_async", "make_inline"]

_WAIT = 60.0  # seconds


def make_inline(
    engine: Engine,
    projection: ProjectionDefinition[Any],
    *,
    wait: float = _WAIT,
    by: str | None = None,
) -> bool:
    """Have the transactions that write the messages maintain a projection, instead of its consumer.

    Applies the messages that the consumer has yet to apply, and removes the consumer, in one
    transaction which locks out the writers of the categories. A consumer that is running stops with
    `ProjectionRefused`. Before this, `attach` the projection in all processes that write its
    messages: from then on, the messages of others are not applied. It is recorded in the log of
    operations.

    Args:
        engine: an engine that connects as the owner of the store.
        projection: the projection.
        wait: the timeout in seconds for the locks.
        by: who does it, for the log of operations; by default the database role.

    Returns:
        False if it is already maintained inline; otherwise True.

    Raises:
        NotOffered: the store is distributed with Citus.
        ProjectionRefused: another version is current, the consumer has many messages left or dead
            letters, or messages were deleted that the table lacks.
        StoreBusy: write transactions did not end before the timeout. Nothing was changed.
    """
    changed = False

    def work(connection: Connection) -> None:
        nonlocal changed
        versions = _locked(connection, projection)
        changed = versions.modes.get(projection.version) != "inline"
        if not changed:
            return
        name = consumer_name(projection.name, projection.version)
        if not slots_of(connection, name):
            _check_new(connection, projection, versions)
        check_remaining(connection, projection)
        last = lock_categories(connection, projection)
        target = TargetTable(projection.mapping, versions.schema, projection.mapping.table.name)
        apply_remaining(connection, projection, target, last)
        unregister(connection, name)
        inline = inline_name(projection.name, projection.version)
        register_at(connection, projection, inline, number=1, position=None)
        record(connection, "make_inline", projection.name, details=_details(projection), by=by)

    _with_locks(engine, projection, work, wait)
    return changed


def make_async(
    engine: Engine,
    projection: ProjectionDefinition[Any],
    *,
    slots: int = 1,
    wait: float = _WAIT,
    by: str | None = None,
) -> bool:
    """Have the consumer maintain a projection, instead of the transactions that write the messages.

    The consumer continues after the last message that was applied inline: none is skipped, and none
    is applied twice. It is recorded in the log of operations.

    Args:
        engine: an engine that connects as the owner of the store.
        projection: the projection.
        slots: the number of slots of the consumer's group; 1 without a group.
        wait: the timeout in seconds for the locks.
        by: who does it, for the log of operations; by default the database role.

    Returns:
        False if its consumer already maintains it; otherwise True.

    Raises:
        NotOffered: the store is distributed with Citus.
        ProjectionRefused: this version is not the current one.
        StoreBusy: write transactions did not end before the timeout. Nothing was changed.
    """
    changed = False

    def work(connection: Connection) -> None:
        nonlocal changed
        versions = _locked(connection, projection)
        if versions.current is None:
            raise ProjectionRefused(
                projection.name, "nothing maintains it yet; its consumer can be started"
            )
        changed = versions.modes[projection.version] == "inline"
        if not changed:
            return
        last = lock_categories(connection, projection)
        unregister(connection, inline_name(projection.name, projection.version))
        name = consumer_name(projection.name, projection.version)
        register_at(connection, projection, name, number=slots, position=last)
        record(connection, "make_async", projection.name, details=_details(projection), by=by)

    _with_locks(engine, projection, work, wait)
    return changed


def _with_locks(
    engine: Engine, projection: ProjectionDefinition[Any], work: Any, wait: float
) -> None:
    unchanged = f"Projection {projection.name!r}"
    with_brief_locks(read_committed(engine), work, wait=wait, unchanged=unchanged)


def _locked(connection: Connection, projection: ProjectionDefinition[Any]) -> Versions:
    """Lock a projection, and check that a version is the current one, or that there is none."""
    lock(connection, projection.name, exclusive=True)
    versions = read_versions(connection, projection)
    if projection.version in versions.with_tables:
        raise ProjectionRefused(
            projection.name,
            f"version {projection.version} has a table of its own; switch to it first",
        )
    if (current := versions.current) not in (None, projection.version):
        raise ProjectionRefused(
            projection.name, f"version {current} is current, not version {projection.version}"
        )
    check_columns(connection, projection, versions, projection.mapping.table.name)
    return versions


def _check_new(
    connection: Connection, projection: ProjectionDefinition[Any], versions: Versions
) -> None:
    """Check that a version that has never been maintained can be computed from the messages."""
    table = projection.mapping.table.name
    if has_rows(connection, versions.schema, table):
        raise ProjectionRefused(
            projection.name,
            f"table {versions.schema}.{table} has rows, but nothing has maintained them: empty it "
            "first, or run mdb projections rebuild",
        )
    if deleted := deleted_up_to(connection, projection.categories):
        raise ProjectionRefused(
            projection.name,
            f"messages of its categories up to {deleted} were deleted by a retention policy, so "
            "its rows would be incomplete",
        )


def _details(projection: ProjectionDefinition[Any]) -> dict[str, Any]:
    return {"version": projection.version}
