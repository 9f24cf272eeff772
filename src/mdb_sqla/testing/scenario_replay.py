"""Scenarios that are run again with a message store, through the conversion to JSON and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.entities import Entity, EntityStore
from mdb_sqla.entities.state_cache import StateCache
from mdb_sqla.entities.state_reader import StateReader
from mdb_sqla.outbox.unit_of_work import UnitOfWork
from mdb_sqla.store.read_statements import read_stream
from mdb_sqla.testing.differences import check_messages, check_state
from mdb_sqla.words.message import Message

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["replay"]

_S = TypeVar("_S")

_CACHED = 16  # states


def replay(
    engine: Engine,
    store: EntityStore[_S],
    given: Sequence[Any],
    action: Callable[[Entity[_S]], object],
    messages: Sequence[Message],
    state: _S,
    error: type[BaseException] | tuple[type[BaseException], ...] | None,
) -> None:
    """Run a scenario with each variant of an entity store.

    Args:
        engine: the engine.
        store: the entity store.
        given: the events that have happened before.
        action: what is done with the entity.
        messages: the messages that must be written.
        state: the state that must be read in the end.
        error: the error that the action must raise, or None.

    Raises:
        AssertionError: other messages were written, or the state is another one.
    """
    factory = sessionmaker(engine)
    for what, variant in _variants(store):
        id_ = uuid4()
        if given:
            with UnitOfWork(factory) as unit:
                variant.get(unit, id_).write(*given)
                unit.commit()
        # With a cache, the second read is the one that finds the state there.
        for _ in range(2):
            with UnitOfWork(factory) as unit:
                variant.get(unit, id_)
        with UnitOfWork(factory) as unit:
            _perform(action, variant.get(unit, id_), error)
            if error is None:
                unit.commit()
        with factory() as session:
            _check(session, variant, id_, what, len(given), messages, state)


def _perform(action: Callable[[Any], object], entity: Entity[Any], error: Any) -> None:
    if error is None:
        action(entity)
        return
    try:
        action(entity)
    except error:
        return
    raise AssertionError(f"With a message store, {error!r} was not raised")


def _check(
    session: Session,
    store: EntityStore[Any],
    id_: object,
    what: str,
    position: int,
    messages: Sequence[Message],
    state: object,
) -> None:
    name = store.stream_name(id_)
    decrypt = store._behavior.encryption.decrypt
    written = [decrypt(each) for each in read_stream(session, name, position, -1, None)]
    check_messages(f"With a message store{what}, other events were written", messages, written)
    read = store.get(session, id_).state
    check_state(f"With a message store{what}, another state is read", state, read)


def _variants(store: EntityStore[_S]) -> Iterator[tuple[str, EntityStore[_S]]]:
    behavior = store._behavior._replace(snapshots=None)
    yield "", _variant(store, behavior, None)
    if store._reader.cache is not None:
        yield " and a cache", _variant(store, behavior, StateCache(_CACHED))
    if store._behavior.snapshots is not None:
        snapshots = copy(store._behavior.snapshots)
        snapshots.every = 1
        yield " and snapshots", _variant(store, behavior._replace(snapshots=snapshots), None)


def _variant(store: EntityStore[_S], behavior: Any, cache: Any) -> EntityStore[_S]:
    variant = copy(store)
    variant._behavior = behavior
    variant._reader = StateReader(behavior.fold, behavior.snapshots, cache)
    return variant
