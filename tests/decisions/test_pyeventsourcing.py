"""The tests that pyeventsourcing has for its own recorders of dynamic consistency boundaries.

Not those of subscriptions, which are consumers here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import AppendConditionFailed, Message, MessageStore, Query

api: Any = pytest.importorskip("eventsourcing.dcb.api")
persistence: Any = pytest.importorskip("eventsourcing.persistence")
tests: Any = pytest.importorskip("eventsourcing.dcb.tests")


class Response:
    def __init__(self, events: Sequence[Any], head: int | None) -> None:
        self._events = iter(events)
        self.head = head

    def __iter__(self) -> Iterator[Any]:
        return self._events


class Recorder:
    """Records events in the category `event`."""

    def __init__(self, factory: sessionmaker[Session]) -> None:
        self._factory = factory

    def read(self, query: Any = None, *, after: int | None = None, limit: int | None = None) -> Any:
        if limit == 0:
            return Response([], None)
        with self._factory() as session:
            result = MessageStore(session).read(_query(query), position=(after or 0) + 1)
        messages = result[:limit]
        events = [
            api.DCBSequencedEvent(
                api.DCBEvent(each.type, bytes.fromhex(each.data), each.metadata["tags"]),
                each.global_position,
            )
            for each in messages
        ]
        head = result.position if limit is None else messages[-1].global_position
        return Response(events, head or None)

    def append(self, events: Sequence[Any], condition: Any = None) -> int:
        messages = [
            ("event-1", Message(each.type, each.data.hex()).with_tags(*each.tags))
            for each in events
        ]
        unless = None
        if condition is not None:
            unless = _query(condition.fail_if_events_match).after(condition.after or 0)
        with self._factory() as session:
            try:
                positions = MessageStore(session).write_messages(messages, unless=unless)
            except AppendConditionFailed as error:
                raise persistence.IntegrityError from error
            session.commit()
        return positions[-1].global_position


def _query(query: Any) -> Query:
    everything = Query(categories=["event"])
    if query is None or not query.items:
        return everything
    first, *others = (
        Query(categories=["event"], types=item.types or None, tags=item.tags)
        for item in query.items
    )
    for other in others:
        first |= other
    return first


def test_recorder(factory: sessionmaker[Session]) -> None:
    recorder = Recorder(factory)

    tests.DCBRecorderTestCase()._test_append_read(recorder)
    # Again, behind what is there.
    position = recorder.read().head
    tests.DCBRecorderTestCase()._test_append_read(recorder, initial_position=position)
