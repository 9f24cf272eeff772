"""Reads the state of an entity: from the cache, a snapshot or the beginning, and its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from mdb_sqla.database.execution import Database
from mdb_sqla.entities.event_rows import (
    PAGE,
    Row,
    anchor_of,
    identity_of,
    is_erased,
    read_rows,
    read_with_snapshot,
)
from mdb_sqla.entities.fold import Fold
from mdb_sqla.entities.snapshots import SnapshotFormat
from mdb_sqla.entities.state import State
from mdb_sqla.entities.state_cache import StateCache
from mdb_sqla.errors import EventsMissing
from mdb_sqla.store.read_statements import version as stream_version
from mdb_sqla.words.stream_name import NO_STREAM, StreamName

__all__ = ["StateReader"]

_S = TypeVar("_S")


class StateReader(Generic[_S]):
    """Reads states. Neither the cache nor snapshots change the result.

    Args:
        fold: computes a state from events.
        snapshots: the format of snapshots; None if there are none.
        cache: the cache; None if there is none.

    Attributes:
        cache: the cache.
    """

    def __init__(
        self,
        fold: Fold[_S],
        snapshots: SnapshotFormat[_S] | None,
        cache: StateCache[_S] | None,
    ) -> None:
        self._fold = fold
        self._snapshots = snapshots
        self.cache = cache

    def read(self, db: Database, name: StreamName) -> State[_S]:
        """Return the current state of an entity.

        Raises:
            EventsMissing: events were deleted, and no snapshot replaces them.
            EntityErased: an event was erased. See `Fold.rows` for other errors.
        """
        known = None if self.cache is None else self.cache.get(name)
        if self.cache is not None and known is not None:
            # From the event on that identifies the cached state, to compare it.
            anchor = known.anchor
            rows = [] if anchor is None else read_rows(db, name, anchor.position)
            if _begins_with(rows, known):
                return self._with_recorded(self._folded(db, name, known, rows, is_new=False))
            self.cache.discard(name)
        if self._snapshots is None:
            return self._from_beginning(db, name, read_rows(db, name, 0))
        stream = self._snapshots.stream_name(name)
        row, rows = read_with_snapshot(db, name, stream, self._snapshots.version)
        if row is None:
            return self._from_beginning(db, name, rows)
        recorded = self._snapshots.state(db, name, row)
        if recorded is not None and not rows:
            # All events up to the snapshot may have been deleted.
            version = stream_version(db, name)
            if version == recorded.version:
                return recorded
            # There may be events that were written since.
            rows = read_rows(db, name, recorded.version + 1) if version > recorded.version else []
        if recorded is not None and _fits(recorded, rows):
            before = [row for row in rows if row[2] <= recorded.version]
            # The complete anchor. After a deletion, there may be none before the snapshot.
            anchor = anchor_of(before) if before else None
            is_new = anchor is not None and row[7]
            last = identity_of(before[-1]) if before else None
            known = recorded._replace(anchor=anchor, last=last)
            return self._folded(db, name, known, rows, is_new=is_new)
        return self._from_beginning(db, name, read_rows(db, name, 0))

    def _with_recorded(self, state: State[_S]) -> State[_S]:
        """Return a state from the cache, which does not know the snapshots written since.

        They are assumed to be at multiples of the interval, so that the next one will be.
        """
        if self._snapshots is None:
            return state
        every = self._snapshots.every
        return state._replace(recorded=(state.version + 1) // every * every - 1)

    def _from_beginning(self, db: Database, name: StreamName, rows: Sequence[Row]) -> State[_S]:
        if not rows and (version := stream_version(db, name)) != NO_STREAM:
            # They may have been written since.
            rows = read_rows(db, name, 0)
            if not rows:
                raise EventsMissing(name, 0, version + 1)
        return self._folded(db, name, State(self._fold.initial()), rows, is_new=False)

    def _folded(
        self, db: Database, name: StreamName, state: State[_S], page: Sequence[Row], *, is_new: bool
    ) -> State[_S]:
        """Return the state after the events of a page that are not in it yet, and of later pages.

        Args:
            db: the session or connection.
            name: the stream.
            state: the state.
            page: the first page.
            is_new: whether the state belongs into the cache even if nothing follows.
        """
        value, version, anchor, recorded, last = state
        while page:
            rows = [row for row in page if row[2] > version]
            if rows:
                value = self._fold.rows(db, name, value, rows, version + 1)
                version, anchor = rows[-1][2], anchor_of(rows, anchor)
                last = identity_of(rows[-1])
                # What a transaction has read could be what it has written, and may roll back.
                is_new = rows[-1][7]
            if len(page) < PAGE:
                break
            page = read_rows(db, name, version + 1)
        state = State(value, version, anchor, recorded, last)
        if is_new and self.cache is not None:
            self.cache.put(name, state)
        return state


def _fits(state: State[_S], rows: Sequence[Row]) -> bool:
    """Return whether a snapshot is of the stream of rows, and has nothing that was erased."""
    if not rows:
        return False
    if state.anchor is not None and rows[0][2] == state.anchor.position:
        return _begins_with(rows, state)
    # The events up to the anchor were deleted.
    return not any(is_erased(row) for row in rows if row[2] <= state.version)


def _begins_with(rows: Sequence[Row], state: State[_S]) -> bool:
    """Return whether rows begin with the anchor of a state, and contain its last event."""
    if not rows or state.anchor is None or not state.anchor.matches(rows[0]):
        return False
    if state.last is None or state.last.position == state.anchor.position:
        return bool(rows[-1][2] >= state.version)
    return any(state.last.is_at(row) for row in rows)
