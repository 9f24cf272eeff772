"""Filling the table of a version from the beginning, while the current version is in use."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine

from mdb_sqla.admin.brief_locks import with_brief_locks
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import ddl, quoted
from mdb_sqla.errors import InvalidArgument, MessagesDeleted, ProjectionRefused
from mdb_sqla.operation_log import record
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.deleted_history import deleted_up_to
from mdb_sqla.projections.engine_argument import read_committed
from mdb_sqla.projections.fill_workers import (
    Part,
    check_where,
    fill_in_processes,
    fill_in_threads,
)
from mdb_sqla.projections.remaining_messages import slots_of
from mdb_sqla.projections.version_table import check_dependents, create_own_table
from mdb_sqla.projections.versions import consumer_name, lock, own_table, read_versions
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.words.argument_checks import described, instance, integer

__all__ = ["Rebuilt", "rebuild"]

_WAIT = 60.0  # seconds for open transactions that write


class Rebuilt(NamedTuple):
    """What a rebuild did.

    Attributes:
        messages: the number of messages that were applied by this call.
        seconds: how long it took.
    """

    messages: int
    seconds: float


def rebuild(
    engine: Engine,
    projection: ProjectionDefinition[Any],
    *,
    workers: int = 2,
    where: str | None = None,
    start: int | Literal["earliest"] = 1,
    read_from: Standbys | None = None,
    progress: Callable[[int], object] | None = None,
    by: str | None = None,
) -> Rebuilt:
    """Fill a table with the rows of a version, until it has caught up with the store.

    Creates the table `<table>_v<version>` as the definition says, and applies all messages to it,
    in parallel. Until you `switch` to the version, nothing else reads or changes it, and the
    current version stays in use. If it is interrupted or killed, call it again: it continues where
    it was. To start anew, `drop` the version first. It is recorded in the log of operations.

    Args:
        engine: an engine that connects as the owner of the table. It needs a connection for each
            worker.
        projection: the version to fill.
        workers: the number of workers, each of which applies the messages of some of the streams.
            With a key function, only one is used, because messages of different streams can concern
            the same row. When a rebuild is continued, the number stays the same.
        where: the module and name of the projection, such as `shop.projections:totals`. With it,
            workers are processes, which import the projection and connect to the engine's URL, and
            so use several cores. Otherwise, they are threads.
        start: `"earliest"` if messages of the categories were deleted, and the messages that are
            left are enough. Otherwise, 1.
        read_from: standbys to read messages from, in place of the primary server. Workers that are
            processes connect to the URLs of their engines.
        progress: called from any thread with the number of messages applied so far.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        NotOffered: the store is distributed with Citus.
        ProjectionRefused: the version is the current one, or something depends on the table that a
            switch would leave behind.
        MessagesDeleted: messages of the categories were deleted by a retention policy.
        HandlerFailed: a message can't be applied.
        SlotLost: another process is filling the version, too.
        StoreBusy: transactions that maintain the projection inline did not end within a minute.
        InvalidArgument: an argument is invalid.
    """
    engine, begun = read_committed(engine), perf_counter()
    workers = integer("workers", workers, 1) if projection.is_partitionable else 1
    if where is not None:
        check_where(where, projection)
    if start not in (1, "earliest"):
        raise InvalidArgument(f"start must be 1 or 'earliest', got {described(start)}")
    if read_from is not None:
        instance("read_from", read_from, Standbys).check(is_async=False)
    schema, workers = _prepare(engine, projection, workers, start, by)
    parts = [Part(slot, workers, start) for slot in range(workers)]
    messages = 0

    def applied(number: int) -> None:
        nonlocal messages
        messages = before + number
        if progress is not None:
            progress(messages)

    before = 0
    if where is None or workers == 1:
        fill_in_threads(engine, projection, parts, read_from, applied)
    else:
        fill_in_processes(engine, where, parts, read_from, applied)
    before = messages
    # What was written since then is little.
    fill_in_threads(engine, projection, parts, read_from, applied)
    with translated(), engine.begin() as connection:
        name = own_table(projection.mapping.table.name, projection.version)
        # The planner knows nothing about a new table.
        connection.execute(
            ddl("ANALYZE %(schema)s.%(name)s", schema=quoted(schema), name=quoted(name))
        )
    return Rebuilt(messages, perf_counter() - begun)


def _prepare(
    engine: Engine,
    projection: ProjectionDefinition[Any],
    workers: int,
    start: object,
    by: str | None,
) -> tuple[str, int]:
    """Create the table of a version, unless it exists; return its schema and the number of slots.

    Raises:
        ProjectionRefused: the version is current, or has a consumer but no table.
        MessagesDeleted: messages were deleted.
    """
    prepared = "", workers

    def work(connection: Connection) -> None:
        nonlocal prepared
        lock(connection, projection.name, exclusive=True)
        schema = _create(connection, projection, start, by)
        begun = slots_of(connection, consumer_name(projection.name, projection.version))
        prepared = schema, begun[0].slots if begun else workers

    with_brief_locks(engine, work, wait=_WAIT, unchanged=f"Projection {projection.name!r}")
    return prepared


def _create(
    connection: Connection, projection: ProjectionDefinition[Any], start: object, by: str | None
) -> str:
    versions = read_versions(connection, projection)
    version = projection.version
    name = consumer_name(projection.name, version)
    if version not in versions.with_tables:
        if version in versions.modes:
            raise ProjectionRefused(
                projection.name,
                f"version {version} is the current one; to fill its table again, increase the "
                "version",
            )
        deleted = deleted_up_to(connection, projection.categories)
        if deleted and start != "earliest":
            raise MessagesDeleted(name, 0, 0, deleted)
        check_dependents(connection, projection, versions.schema)
        create_own_table(connection, projection, versions.schema)
        details = {"version": version}
        record(connection, "rebuild_projection", projection.name, details=details, by=by)
    return versions.schema
