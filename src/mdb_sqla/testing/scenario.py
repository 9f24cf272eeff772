"""Scenarios of entities: given events, when something is decided, then other events happen."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mdb_sqla.entities import Entity, EntityStore
from mdb_sqla.entities.state import State
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.store.write_arguments import Write
from mdb_sqla.testing.differences import check_messages, check_state
from mdb_sqla.testing.example_messages import example_stream_name
from mdb_sqla.testing.scenario_replay import replay
from mdb_sqla.words.argument_checks import described, instance
from mdb_sqla.words.message import Message

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Outcome", "Scenario", "When"]

_S = TypeVar("_S")

_Errors = type[BaseException] | tuple[type[BaseException], ...]


class _Rehearsal(Entity[_S]):
    """An entity without a database, which keeps the messages that are written to it."""

    def __init__(self, store: EntityStore[_S]) -> None:
        behavior = store._behavior
        name = store.stream_name(example_stream_name().id)
        super().__init__(behavior, None, name, State(behavior.fold.initial()))
        self.messages: list[Message] = []

    @property
    def _is_usable(self) -> bool:
        return not self._has_failed

    def _session(self) -> Any:
        self._check()

    def expect(self) -> None:
        self._check()

    def _pend(self, messages: list[Message], unless: object, snapshot: object) -> PendingWrite:
        # Nobody else writes in a scenario, so conditions are met.
        self.messages += messages
        return PendingWrite(Write.expecting(self.stream_name, self._read.version))


class Scenario(Generic[_S]):
    """A test of an entity that needs no database.

        Scenario(accounts).given(Deposited(100)).when(Withdraw(30)).then(Withdrawn(30))

    Args:
        store: the entity store.
        given: the events that have happened before.
    """

    def __init__(self, store: EntityStore[_S], *given: Any) -> None:
        self._store = instance("store", store, EntityStore)
        self._given = given

    def given(self, *events: Any) -> Scenario[_S]:
        """Return a scenario in which these events have happened as well."""
        return Scenario(self._store, *self._given, *events)

    def when(self, action: Any) -> When[_S]:
        """Return what happens if something is done, for `then` or `then_raises` to check.

        Args:
            action: a function that is called with the `Entity`; or a command, if the entity store
                has `decide`.

        Raises:
            InvalidArgument: it is a command, and the entity store has no `decide`.
        """
        decides = self._store._behavior.decider is not None
        if callable(action) and (not decides or isinstance(action, partial) or _is_code(action)):
            return When(self._store, self._given, action)
        if not decides:
            raise InvalidArgument(
                "when must get a function of an entity, or a command for an EntityStore with "
                f"decide=, got {described(action)}"
            )
        return When(self._store, self._given, lambda entity: entity.execute(action))


class When(Generic[_S]):
    """What is done in a scenario. Nothing is checked before `then` or `then_raises` is called."""

    def __init__(
        self,
        store: EntityStore[_S],
        given: tuple[Any, ...],
        action: Callable[[Entity[_S]], object],
    ) -> None:
        self._store = store
        self._given = given
        self._action = action
        self._is_checked = False

    def __del__(self) -> None:
        # A test without `then` would never fail.
        if not getattr(self, "_is_checked", True):
            warnings.warn("A Scenario ends without then() or then_raises()", stacklevel=2)

    def then(self, *events: Any) -> Outcome[_S]:
        """Check that exactly these events happen; without arguments, that none happen.

        Args:
            events: instances of message types, or messages.

        Raises:
            AssertionError: other events happen; the text shows the difference.
        """
        entity = self._rehearsed()
        try:
            self._action(entity)
        except Exception as error:
            raise AssertionError(
                f"No error was expected, but this was raised: {error!r}"
            ) from error
        expected = [self._store._behavior.message(event, None) for event in events]
        check_messages("Other events happened", expected, entity.messages)
        return Outcome(self._store, self._given, self._action, entity)

    def then_raises(self, error: _Errors, match: str | None = None) -> Outcome[_S]:
        """Check that an error is raised.

        Args:
            error: the class of the error, or several.
            match: a regular expression that must be found in the text of the error.

        Raises:
            AssertionError: there is no error, or another one.
        """
        entity = self._rehearsed()
        try:
            self._action(entity)
        except Exception as raised:
            if not isinstance(raised, error):
                raise AssertionError(
                    f"{_names(error)} was expected, but this was raised: {raised!r}"
                ) from raised
            if match is not None and not re.search(match, str(raised)):
                raise AssertionError(
                    f"The text of {type(raised).__name__} does not match {match!r}: {raised}"
                ) from raised
        else:
            check_messages(
                f"{_names(error)} was not raised; these events happened", [], entity.messages
            )
            raise AssertionError(f"{_names(error)} was not raised, and no events happened")
        before = _Rehearsal(self._store)
        _write(before, self._given)
        before.messages.clear()
        return Outcome(self._store, self._given, self._action, before, error)

    def _rehearsed(self) -> _Rehearsal[_S]:
        self._is_checked = True
        entity = _Rehearsal(self._store)
        _write(entity, self._given)
        entity.messages.clear()
        return entity


class Outcome(Generic[_S]):
    """The outcome of a scenario, after its events were checked.

    Attributes:
        state: the state after the events.
    """

    def __init__(
        self,
        store: EntityStore[_S],
        given: tuple[Any, ...],
        action: Callable[[Entity[_S]], object],
        entity: _Rehearsal[_S],
        error: _Errors | None = None,
    ) -> None:
        self.state = entity.state
        self._store = store
        self._given = given
        self._action = action
        self._messages = entity.messages
        self._error = error

    def then_state(self, state: _S) -> Outcome[_S]:
        """Check the state after the events.

        Raises:
            AssertionError: it is another one; the text shows the difference.
        """
        check_state("The state is another one", state, self.state)
        return self

    def run(self, engine: Engine) -> None:
        """Run the scenario again with a message store.

        The events are written and read again, so this tests that they can be converted; with
        snapshots and the cache, if the entity store has any: then also with a snapshot after each
        write. Each run has its own entity.

        Args:
            engine: an engine on a database with a store, such as `message_store_engine`.

        Raises:
            AssertionError: the events or the state differ from those without a database.
        """
        replay(
            engine, self._store, self._given, self._action, self._messages, self.state, self._error
        )

    async def run_async(self, engine: AsyncEngine) -> None:
        """Run the scenario again with a message store, over an async engine. See `run`."""
        async with engine.connect() as connection:
            await connection.run_sync(lambda sync: self.run(sync.engine))


def _write(entity: Entity[Any], events: tuple[Any, ...]) -> None:
    if events:
        entity.write(*events)


def _is_code(action: object) -> bool:
    return inspect.isroutine(action)


def _names(error: _Errors) -> str:
    errors = error if isinstance(error, tuple) else (error,)
    return " or ".join(each.__name__ for each in errors)
