"""Projections that the transactions maintain which write the messages.

Before a transaction draws the positions of its messages, it locks the rows that they concern, and
it holds the locks until it ends. So the messages of a row are applied in the order of their
positions, whatever streams they belong to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Connection, any_, bindparam, func, select

from mdb_sqla import functions, tables
from mdb_sqla.column_types import json_deserializer
from mdb_sqla.database.execution import (
    Database,
    connection_of,
    dialect_of,
    execute,
    is_autocommit,
)
from mdb_sqla.errors import InvalidArgument, ProjectionFailed, ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.live_fold import step_of
from mdb_sqla.projections.message_handler import Step
from mdb_sqla.projections.row_fold import RowFold, failures_named
from mdb_sqla.projections.row_keys import Key
from mdb_sqla.projections.target_table import TargetTable
from mdb_sqla.projections.versions import (
    Versions,
    lock,
    lock_keys,
    lock_number,
    read_versions,
)
from mdb_sqla.store.message_decoder import fetch, select_messages
from mdb_sqla.store.write_arguments import Write
from mdb_sqla.words.message import MessagePosition, StoredMessage

__all__ = ["InlineProjection"]

_MAX_KEYS = 100  # locks on rows in one transaction; beyond it, the whole projection is locked
_LOCKABLE = (str, int, UUID)  # types of keys of which equal ones have the same text

# Read after the locks and before the write: positions that are drawn later are higher.
_LAST = select(
    functions.last_global_position().label("position"),
    func.pg_catalog.current_setting("transaction_isolation").label("isolation"),
)
_WRITTEN = (
    select_messages(tables.messages)
    .where(
        tables.messages.c.global_position
        == any_(bindparam("global_positions", type_=ARRAY(BigInteger)))
    )
    .order_by(tables.messages.c.global_position)
)


class _Begun(NamedTuple):
    """A write whose rows are locked."""

    projection: ProjectionDefinition[Any]
    versions: Versions
    keys: dict[UUID, Sequence[Key]]
    last_position: int


class InlineProjection:
    """The versions of a projection that are attached to an engine.

    Args:
        projections: the versions.
    """

    def __init__(self, projections: Sequence[ProjectionDefinition[Any]]) -> None:
        self._versions = {each.version: each for each in projections}
        self._any = projections[0]
        self._targets: dict[tuple[str, int], TargetTable] = {}

    def begin(self, db: Database, writes: Sequence[Write]) -> _Begun | None:
        """Lock the rows that the messages concern, if the projection is maintained inline."""
        if not any(_concerns(each, writes) for each in self._versions.values()):
            return None
        connection = connection_of(db)
        if is_autocommit(connection):
            raise InvalidArgument(
                f"Projection {self._any.name!r} is attached to the engine, so writing its messages "
                "requires a transaction; the connection is AUTOCOMMIT"
            )
        lock(connection, self._any.name)
        versions = read_versions(connection, self._any)
        projection = self._inline(versions)
        if projection is None:
            return None
        messages = list(_unwritten(projection, writes, json_deserializer(dialect_of(db))))
        steps = [step for each in messages if (step := _step(projection, each)) is not None]
        if not steps:
            return None
        self._lock_rows(connection, steps)
        found = execute(db, _LAST, {}, tables.messages)[0]
        if found.isolation != "read committed":
            raise InvalidArgument(
                f"Projection {projection.name!r} is maintained inline, which requires isolation "
                f"level READ COMMITTED, got {found.isolation.upper()}"
            )
        keys = {step.message.id: step.keys for step in steps}
        return _Begun(projection, versions, keys, found.position)

    def end(
        self, db: Database, begun: _Begun | None, positions: Sequence[Sequence[MessagePosition]]
    ) -> None:
        """Apply the messages that were written."""
        if begun is None:
            return
        projection, connection = begun.projection, connection_of(db)
        # Others were written before, and applied then.
        new = {
            each.global_position
            for of_write in positions
            for each in of_write
            if each.global_position > begun.last_position
        }
        # Read again: PostgreSQL may have normalized the JSON, and a consumer would get this.
        messages = fetch(db, _WRITTEN, {"global_positions": list(new)}, tables.messages)
        steps = [step for each in messages if (step := self._step(begun, each)) is not None]
        fold: RowFold[Any] = RowFold(projection.name, projection.mapping)
        target = self._target(begun)
        keys = dict.fromkeys(key for step in steps for key in step.keys)
        fold.load(target.read(connection, keys, lock=True))
        for step in steps:
            with failures_named(projection.name, step.message):
                fold.apply(step)
        target.write(connection, fold.changes())

    def _inline(self, versions: Versions) -> ProjectionDefinition[Any] | None:
        """Return the current version if it is maintained inline.

        Raises:
            ProjectionRefused: it is not attached, or there is none.
        """
        current = versions.current
        if current is None:
            raise ProjectionRefused(
                self._any.name,
                "it is attached to the engine, but nothing maintains it yet: call make_inline, or "
                "run its consumer",
            )
        if versions.modes[current] != "inline":
            return None
        if current not in self._versions:
            known = ", ".join(map(str, sorted(self._versions)))
            raise ProjectionRefused(
                self._any.name,
                f"version {current} is current and maintained inline, but this process has "
                f"attached version {known}",
            )
        return self._versions[current]

    def _lock_rows(self, connection: Connection, steps: Iterable[Step]) -> None:
        name = self._any.name
        keys = {key for step in steps for key in step.keys}
        if len(keys) > _MAX_KEYS or not all(map(_is_lockable, keys)):
            lock(connection, name, exclusive=True)
        else:
            lock_keys(connection, {lock_number(name, repr(key)) for key in keys})

    def _step(self, begun: _Begun, message: StoredMessage) -> Step | None:
        if message.stream_name.partition("-")[0] not in begun.projection.categories:
            return None
        step = _step(begun.projection, message)
        if step is not None and set(step.keys) != set(begun.keys.get(message.id, ())):
            raise ProjectionFailed(
                begun.projection.name,
                message,
                f"its keys {list(step.keys)!r} are not those from before it was written: a key "
                "function must depend only on the stream name, the type, the data and the metadata",
            )
        return step

    def _target(self, begun: _Begun) -> TargetTable:
        schema, version = begun.versions.schema, begun.projection.version
        found = self._targets.get((schema, version))
        if found is None:
            mapping = begun.projection.mapping
            found = TargetTable(mapping, schema, mapping.table.name)
            self._targets[schema, version] = found
        return found


def _step(projection: ProjectionDefinition[Any], message: StoredMessage) -> Step | None:
    with failures_named(projection.name, message):
        return step_of(projection, message)


def _concerns(projection: ProjectionDefinition[Any], writes: Iterable[Write]) -> bool:
    return any(
        message.type in projection.handlers
        for write in writes
        if write.stream_name.category in projection.categories
        for message, *_ in write.entries
    )


def _unwritten(
    projection: ProjectionDefinition[Any], writes: Iterable[Write], deserialize: Any
) -> Iterator[StoredMessage]:
    """Yield messages as they will be stored, without their positions and time."""
    now = datetime.now(UTC)
    for write in writes:
        if write.stream_name.category in projection.categories:
            for message, data, metadata in write.entries:
                if message.type in projection.handlers:
                    yield StoredMessage(
                        message.id,
                        str(write.stream_name),
                        message.type,
                        -1,
                        -1,
                        deserialize(data) if data not in (None, "null") else {},
                        deserialize(metadata) if metadata not in (None, "null") else {},
                        now,
                    )


def _is_lockable(key: Key) -> bool:
    values = key if isinstance(key, tuple) else (key,)
    return all(type(value) in _LOCKABLE for value in values)
