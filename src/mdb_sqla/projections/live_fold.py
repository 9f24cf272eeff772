"""Rows that are folded from the messages in the store, without a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any, TypeVar

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import Database, database
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.deleted_history import deleted_up_to
from mdb_sqla.projections.message_handler import Step
from mdb_sqla.projections.row_fold import RowFold, failures_named
from mdb_sqla.projections.row_keys import Key
from mdb_sqla.store.pages import Pages, message_pages, stream_pages
from mdb_sqla.store.read_statements import version
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["fold_messages", "live_row", "step_of"]

_R = TypeVar("_R")

_BATCH_SIZE = 1000


def step_of(projection: ProjectionDefinition[Any], message: StoredMessage) -> Step | None:
    """Return what to do for a message; None if it has no handler or was erased.

    Raises:
        ProjectionFailed: the key function returned a key of the wrong type.
        DecodingFailed: the message can't be decoded.
    """
    handler = projection.handlers.get(message.type)
    if handler is None or message.is_erased:
        return None
    return handler.step(message, projection.keys)


def fold_messages(
    projection: ProjectionDefinition[_R], messages: Iterable[StoredMessage]
) -> dict[Key, _R]:
    """Return the rows that messages add up to. See `Projection.fold`."""
    return _existing(_folded(projection, messages))


def live_row(projection: ProjectionDefinition[_R], db: Database, key: Key) -> _R | None:
    """Return a row as folded from the messages in the store. See `Projection.live`."""
    db = database(db)
    refuse_on_citus(db, Unoffered.PROJECTIONS)
    if all(handler.key is None for handler in projection.handlers.values()):
        messages = _of_streams(projection, db, key)
        return _folded(projection, messages).rows.get(key)
    if deleted := deleted_up_to(db, projection.categories):
        raise ProjectionRefused(
            projection.name,
            f"messages of its categories up to {deleted} were deleted by a retention policy, so "
            "its rows can't be computed from the messages",
        )
    fold: RowFold[_R] = RowFold(projection.name, projection.mapping)
    for message in _messages(message_pages(projection.categories, 1, _BATCH_SIZE, {}), db):
        with failures_named(projection.name, message):
            step = step_of(projection, message)
            if step is not None and key in step.keys:
                fold.apply(step._replace(keys=[key]))
    return fold.rows.get(key)


def _folded(projection: ProjectionDefinition[_R], messages: Iterable[StoredMessage]) -> RowFold[_R]:
    fold: RowFold[_R] = RowFold(projection.name, projection.mapping)
    for message in messages:
        with failures_named(projection.name, message):
            if (step := step_of(projection, message)) is not None:
                fold.apply(step)
    return fold


def _existing(fold: RowFold[_R]) -> dict[Key, _R]:
    return {key: row for key, row in fold.rows.items() if row is not None}


def _of_streams(
    projection: ProjectionDefinition[Any], db: Database, key: Key
) -> Iterator[StoredMessage]:
    """Yield the messages of all streams whose id is a key, in global order."""
    streams = [
        _of_stream(projection, db, StreamName(f"{category}-{key}"))
        for category in projection.categories
    ]
    return iter(merge(*streams, key=lambda message: message.global_position))


def _of_stream(
    projection: ProjectionDefinition[Any], db: Database, stream_name: StreamName
) -> Iterator[StoredMessage]:
    first: StoredMessage | None = None
    for message in _messages(stream_pages(stream_name, 0, _BATCH_SIZE, None), db):
        if first is None and message.position > 0:
            raise _truncated(projection, stream_name)
        first = first or message
        yield message
    if first is None and version(db, stream_name) >= 0:
        raise _truncated(projection, stream_name)


def _truncated(projection: ProjectionDefinition[Any], stream_name: str) -> ProjectionRefused:
    return ProjectionRefused(
        projection.name,
        f"messages of stream {stream_name} were deleted, so its row can't be computed from the "
        "messages",
    )


def _messages(pages: Pages, db: Database) -> Iterator[StoredMessage]:
    while page := pages.next(db):
        yield from page
