"""The consumer that maintains the rows of a projection, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.handlers import BatchedHandler
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.settings import OnFailure
from mdb_sqla.database.execution import connection_of
from mdb_sqla.errors import InvalidArgument, ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.live_fold import step_of
from mdb_sqla.projections.message_handler import Step
from mdb_sqla.projections.row_fold import RowFold
from mdb_sqla.projections.start_check import check_start
from mdb_sqla.projections.target_table import TargetTable
from mdb_sqla.projections.versions import (
    Versions,
    consumer_name,
    lock,
    own_table,
    read_versions,
)
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.message import StoredMessage

__all__ = ["ProjectionBatch", "consumer_of", "target_of"]

# What a crash of the server loses, the consumer does again.
_NOT_DURABLE = select(func.pg_catalog.set_config("synchronous_commit", "off", True))


class ProjectionBatch:
    """Reads the rows of a batch of messages, folds the messages, and writes the rows.

    Args:
        projection: the projection.
        applied: called with the number of messages of each batch, before it is committed.
    """

    def __init__(
        self,
        projection: ProjectionDefinition[Any],
        applied: Callable[[int], object] | None = None,
    ) -> None:
        self._projection = projection
        self._applied = applied
        self._steps: dict[int, Step] = {}
        self._fold: RowFold[Any] = RowFold(projection.name, projection.mapping)
        self._targets: dict[tuple[str, str], TargetTable] = {}
        self._target: TargetTable

    def begin(self, messages: Iterable[StoredMessage], session: Session) -> None:
        """Read the rows that the messages concern.

        Raises:
            ProjectionRefused: this version may not write to any table.
            ProjectionFailed: the rows of a message can't be determined.
        """
        projection, connection = self._projection, connection_of(session)
        lock(connection, projection.name)
        versions = read_versions(connection, projection)
        self._target = self._table(versions)
        if projection.version in versions.with_tables:
            connection.execute(_NOT_DURABLE)
        self._steps = {}
        keys: dict[Any, None] = {}
        for message in messages:
            step = step_of(projection, message)
            if step is not None:
                self._steps[message.global_position] = step
                keys.update(dict.fromkeys(step.keys))
        self._fold = RowFold(projection.name, projection.mapping)
        self._fold.load(self._target.read(connection, keys, lock=False))

    def handle(self, message: StoredMessage) -> None:
        """Apply a message to its rows."""
        step = self._steps.get(message.global_position)
        if step is not None:
            self._fold.apply(step)

    def end(self, session: Session) -> None:
        """Write the rows that have changed."""
        projection, connection = self._projection, connection_of(session)
        self._target.write(connection, self._fold.changes())
        # Wakes those who wait for a position.
        announce(connection, [consumer_name(projection.name, projection.version)])
        if self._applied is not None:
            self._applied(len(self._steps))

    def check_start(self, session: Session, *, may_have_rows: bool) -> None:
        """Check that the consumer may start. See `start_check.check_start`."""
        check_start(connection_of(session), self._projection, may_have_rows=may_have_rows)

    def _table(self, versions: Versions) -> TargetTable:
        name = target_of(self._projection, versions)
        found = self._targets.get((versions.schema, name))
        if found is None:
            found = TargetTable(self._projection.mapping, versions.schema, name)
            self._targets[versions.schema, name] = found
        return found


def target_of(projection: ProjectionDefinition[Any], versions: Versions) -> str:
    """Return the name of the table that the consumer of a version writes to.

    Raises:
        ProjectionRefused: it may not write to any table.
    """
    table, version = projection.mapping.table.name, projection.version
    if version in versions.with_tables:
        return own_table(table, version)
    current = versions.current
    if current != version:
        raise ProjectionRefused(
            projection.name,
            f"version {version} is not registered any more"
            if current is None
            else f"version {current} is current, and version {version} has no table of its own; "
            f"to fill one, run mdb projections rebuild",
        )
    if versions.modes[version] == "inline":
        raise ProjectionRefused(
            projection.name,
            f"version {version} is maintained inline, not by its consumer; to change that, run mdb "
            "projections mode",
        )
    return table


def consumer_of(
    projection: ProjectionDefinition[Any],
    *,
    start: int | Literal["earliest"] = 1,
    batch_size: int = 1000,
    group: Group | None = None,
    retry_policy: RetryPolicy | None = None,
    on_failure: OnFailure = "stop",
    poll_interval: tuple[float, float] = (0.02, 1.0),
    read_from: Standbys | None = None,
    applied: Callable[[int], object] | None = None,
    filters: CategoryFilters | None = None,
) -> Consumer:
    """Return the consumer of a projection. See `Projection.consumer`.

    Args:
        projection: the projection.
        start: see `Projection.consumer`, as for the others.
        batch_size: the size of a batch.
        group: the group.
        retry_policy: the retry policy.
        on_failure: what to do with failed messages.
        poll_interval: the poll interval.
        read_from: the standbys to read from.
        applied: called with the number of messages of each batch, before it is committed.
        filters: the part of a fixed group.
    """
    if group is not None and group.slots > 1 and not projection.is_partitionable:
        raise InvalidArgument(
            f"Projection {projection.name!r} has a key function, so its rows may be folded from "
            f"messages of several slots, whose order is not defined: use Group(slots=1), got "
            f"{group.slots} slots"
        )
    if not projection.handlers:
        raise InvalidArgument(
            f"Projection {projection.name!r} has no handlers; import the module that registers "
            "them first"
        )
    projection.has_consumer = True
    consumer = Consumer(
        consumer_name(projection.name, projection.version),
        *projection.categories,
        start=start,
        batch_size=batch_size,
        transaction_size=batch_size,
        # A later statement must see what was committed before a lock was acquired.
        isolation_level="READ COMMITTED",
        group=group,
        retry_policy=retry_policy,
        on_failure=on_failure,
        poll_interval=poll_interval,
        read_from=read_from,
        **(filters or {}),
    )
    batch = ProjectionBatch(projection, applied)
    for type_, handler in projection.handlers.items():
        consumer.handlers.add(BatchedHandler(batch, handler.function), type_)

    def may_start(session: Session) -> None:
        batch.check_start(session, may_have_rows=start != 1)

    consumer.handlers.check_start = may_start
    return consumer
