"""The writes shared by the sync and the async message store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any
from uuid import UUID

from mdb_sqla.column_types import json_serializer
from mdb_sqla.database.execution import (
    Database,
    check_written,
    connection_of,
    dialect_of,
    is_intercepted,
)
from mdb_sqla.errors import InvalidArgument, WrongExpectedVersion
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store.copy_writes import COPY_THRESHOLD, copy
from mdb_sqla.store.function_writes import call
from mdb_sqla.store.message_limits import MAX_CALL_LENGTH, length_of
from mdb_sqla.store.query_documents import checked_conditions, condition_documents
from mdb_sqla.store.recorded_writes import RecordedRows, recorded_rows, rows_of
from mdb_sqla.store.requirements import Requirements
from mdb_sqla.store.write_arguments import Write, WriteOptions, traced_fields
from mdb_sqla.store.write_observers import observers_of
from mdb_sqla.telemetry import Operation, instrumentation
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.argument_checks import described, flag
from mdb_sqla.words.message import MessagePosition
from mdb_sqla.words.query import AppendCondition

__all__ = ["write", "write_all", "write_messages"]


def write(
    db: Database,
    stream_name: str,
    messages: object,
    options: WriteOptions,
    idempotent: bool,
) -> int:
    flag("idempotent", idempotent)
    write = Write.checked(db, stream_name, messages, options)
    ((*_, last),) = write_all(db, [write], idempotent=idempotent)
    return last.position


def write_messages(
    db: Database,
    messages: Iterable[tuple[str, Any]],
    expected_versions: Mapping[str, int] | None,
    unless: AppendCondition | Iterable[AppendCondition] | None,
    idempotent: bool,
    types: MessageTypes | None = None,
) -> list[MessagePosition]:
    flag("idempotent", idempotent)
    if not isinstance(messages, Iterable):
        raise InvalidArgument(
            f"messages must be pairs of a stream name and a Message, got {described(messages)}"
        )
    if not isinstance(expected_versions, Mapping | None):
        raise InvalidArgument(
            "expected_versions must be a mapping of stream names to versions, got "
            f"{described(expected_versions)}"
        )
    conditions = checked_conditions(unless, types)
    writes = [Write.expecting(name, version) for name, version in (expected_versions or {}).items()]
    serialize = json_serializer(dialect_of(db))
    traced = traced_fields()
    writes += [Write.of_pair(pair, serialize, traced, types=types) for pair in messages]
    if not (writes or conditions):
        return []
    positions = write_all(db, writes, idempotent=idempotent, conditions=conditions)
    return [position for (position,) in filter(None, positions)]


def write_all(
    db: Database,
    writes: Sequence[Write],
    *,
    idempotent: bool = True,
    within: Operation | None = None,
    conditions: Iterable[AppendCondition] = (),
) -> list[list[MessagePosition]]:
    """Write all messages or none, in this order, and return the positions of each write.

    Args:
        db: the session or connection.
        writes: the writes.
        idempotent: whether to skip messages that are already stored.
        within: the operation that writes, if it isn't a send operation.
        conditions: append conditions, in addition to those of the writes. All are checked before
            anything is written.

    Raises:
        WrongExpectedVersion: a stream is at another version.
        AppendConditionFailed: a message matches the query of a condition.
        ReadNotExact: there is a condition, and the isolation level is not READ COMMITTED.
        DuplicateMessageId: a message with the same id is already stored; if `idempotent`, one with
            different content.
        InvalidMessage: PostgreSQL rejects the JSON of a message.
        TransactionConflict: retry the whole transaction.
    """
    all_conditions = [*conditions, *(each for write in writes for each in write.conditions)]
    begun = [(observer, observer.begin(db, writes)) for observer in observers_of(db)]
    if (found := instrumentation()) is None:
        recorded = RecordedRows(rows_of(writes), {})
        positions = _write(db, writes, recorded, all_conditions, idempotent)
    else:
        with ExitStack() as stack:
            recorded = recorded_rows(found, writes, stack, within)
            positions = _write(db, writes, recorded, all_conditions, idempotent)
    for observer, before in begun:
        observer.end(db, before, positions)
    return positions


def _write(
    db: Database,
    writes: Sequence[Write],
    recorded: RecordedRows,
    conditions: Sequence[AppendCondition],
    idempotent: bool,
) -> list[list[MessagePosition]]:
    rows = recorded.rows
    expectations = _expectations(writes)
    required = Requirements(
        {name: version for name, (version, _) in expectations.items()},
        json.dumps(condition_documents(conditions)) if conditions else None,
    )
    connection = connection_of(db)
    if not is_intercepted(db):
        # Looked up once: a session looks for it with every statement.
        db = connection
    positions = None
    is_large = len(rows) >= COPY_THRESHOLD or length_of(rows) > MAX_CALL_LENGTH
    if is_large and db is connection:
        positions = copy(connection, rows, required)
    if positions is None:
        try:
            positions = call(db, rows, required, idempotent, recorded.untraced)
        except WrongExpectedVersion as error:
            _, before = expectations.get(error.stream_name, (0, 0))
            if not before:
                raise
            raise _wrong_version(
                error.stream_name, error.expected_version + before, error.stream_version + before
            ) from error
    check_written(len(positions), len(rows))
    if rows:
        categories = {write.stream_name.category for write in writes if write.entries}
        announce(connection, categories)
    following = iter(positions)
    return [[next(following) for _ in write.entries] for write in writes]


def _expectations(writes: Sequence[Write]) -> dict[str, tuple[int, int]]:
    """Return the expected version of each stream before anything is written.

    The second value is the number of messages that earlier writes in the same call add to the
    stream before the write with the expected version.

    Raises:
        WrongExpectedVersion: two writes to one stream have contradictory expected versions.
    """
    if all(write.expected_version is None for write in writes):
        return {}
    before: Counter[str] = Counter()
    ids: set[UUID] = set()
    expectations: dict[str, tuple[int, int]] = {}
    for write in writes:
        name = write.stream_name
        if write.expected_version is not None:
            # Without messages, it refers to the version before anything is written.
            written = before[name] if write.entries else 0
            version = write.expected_version - written
            known, _ = expectations.setdefault(name, (version, written))
            if known != version:
                raise _wrong_version(name, write.expected_version, known + written)
        for message, *_ in write.entries:
            # A repeated message is written once.
            if message.id not in ids:
                ids.add(message.id)
                before[name] += 1
    return expectations


def _wrong_version(
    stream_name: str, expected_version: int, stream_version: int
) -> WrongExpectedVersion:
    return WrongExpectedVersion(
        f"Wrong expected version: {expected_version} "
        f"(Stream: {stream_name}, Stream Version: {stream_version})",
        stream_name=stream_name,
        expected_version=expected_version,
        stream_version=stream_version,
    )
