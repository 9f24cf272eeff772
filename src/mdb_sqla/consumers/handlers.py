"""A consumer's handlers by message type."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from sqlalchemy.orm import Session

from mdb_sqla.errors import InvalidArgument, NoHandler
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.words.argument_checks import described, flag, text
from mdb_sqla.words.message import StoredMessage

__all__ = ["BatchedHandler", "Handler", "HandlerBatch", "Handlers", "is_async"]

Handler = (
    Callable[[StoredMessage, UnitOfWork], Any]
    | Callable[[StoredMessage, AsyncUnitOfWork], Awaitable[Any]]
    | Callable[[StoredMessage], Awaitable[Any]]
)
"""Takes a message and a unit of work, sync or async; with `max_in_flight`, only the message."""


_H = TypeVar("_H", bound=Handler)


def is_async(handler: object) -> bool:
    """Return whether a handler is an `async def` function, or an object whose `__call__` is one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(type(handler), "__call__", None)  # noqa: B004
    )


class HandlerBatch(Protocol):
    """Handles the messages of a transaction together, with few statements."""

    def begin(self, messages: Iterable[StoredMessage], session: Session) -> None:
        """Read what the messages need; an error is that of the message that was taken last."""

    def handle(self, message: StoredMessage) -> None:
        """Handle a message, without the database."""

    def end(self, session: Session) -> None:
        """Write what the messages have changed."""


class BatchedHandler:
    """The handler of a consumer that handles the messages of a transaction together.

    Args:
        batch: the batch.
        function: the function that handles a message, whose name is displayed.
    """

    def __init__(self, batch: HandlerBatch, function: Callable[..., Any]) -> None:
        self.batch = batch
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __call__(self, message: StoredMessage, unit: UnitOfWork) -> None:
        """Handle a message alone."""
        self.batch.begin([message], unit.session)
        self.batch.handle(message)
        self.batch.end(unit.session)


class Handlers:
    """A consumer's handlers by message type.

    Args:
        strict: whether a message of a type without a handler is an error instead of being skipped.
        in_flight: whether handlers get only the message, without a unit of work.

    Attributes:
        check_start: called in the transaction in which the consumer registers; if it raises, the
            consumer does not start.
    """

    def __init__(self, *, strict: bool = False, in_flight: bool = False) -> None:
        self.check_start: Callable[[Session], object] = _no_check
        self._strict = strict
        self._arguments = ("message",) if in_flight else ("message", "unit")
        self._by_type: dict[str, Handler] = {}
        self._of_any_type: Handler | None = None
        self._with_erased: set[str | None] = set()  # types; None stands for all others

    def on(self, *types: str, erased: bool = False) -> Callable[[_H], _H]:
        """Return a decorator that registers a handler for these types. See `add`.

        Raises:
            InvalidArgument: a type is not a string, or `erased` is not a boolean.
        """
        flag("erased", erased)
        for each in types:
            # Checked here, because `@consumer.on` without parentheses never calls the decorator.
            text("message type", each)

        def add(handler: _H) -> _H:
            self.add(handler, *types, erased=erased)
            return handler

        return add

    def add(self, handler: Handler, *types: str, erased: bool = False) -> None:
        """Register a handler for messages of these types; without types, for all others.

        Args:
            handler: the handler.
            types: the message types.
            erased: whether to call it with messages whose contents were erased, too.

        Raises:
            InvalidArgument: a type is not a string, or already has a handler; the handler is not
                callable, or can't be called with the arguments of handlers; or the consumer is that
                of a projection.
        """
        if not callable(handler):
            raise InvalidArgument(f"handler must be callable, got {described(handler)}")
        self.check_parameters(handler)
        is_batched = isinstance(handler, BatchedHandler)
        if not is_batched and any(isinstance(each, BatchedHandler) for each in self._all()):
            raise InvalidArgument(
                "The consumer belongs to a projection: register the handler with the projection, "
                "or with another consumer"
            )
        if not types:
            if self._of_any_type is not None:
                raise InvalidArgument(
                    f"All other types already have a handler: {self._of_any_type!r}"
                )
            self._of_any_type = handler
        for type_ in (text("message type", each) for each in types):
            if type_ in self._by_type:
                raise InvalidArgument(f"Messages of type {type_!r} already have a handler")
            self._by_type[type_] = handler
        if erased:
            self._with_erased.update(types or (None,))

    def check_parameters(self, handler: Callable[..., Any], *before: str) -> None:
        """Check that a handler can be called with the arguments of this consumer's handlers.

        Args:
            handler: the handler.
            before: the names of arguments that it gets before the others.

        Raises:
            InvalidArgument: it has other parameters.
        """
        arguments = (*before, *self._arguments)
        try:
            # A decorator may pass arguments of its own to what it wraps.
            signature = inspect.signature(handler, follow_wrapped=False)
        except (ValueError, NameError):
            # Some callables of C have none; annotations may name what only type checkers import.
            return
        try:
            signature.bind(*arguments)
        except TypeError as error:
            raise InvalidArgument(
                f"The consumer calls its handlers with ({', '.join(arguments)}), but "
                f"{_name(handler)} takes {signature}: {error}"
            ) from None

    def find(self, message: StoredMessage) -> Handler | None:
        """Return the handler for a message, or None if the message is skipped.

        A message whose contents were erased is skipped unless its handler accepts such messages:
        a handler that looks for its data would fail.

        Raises:
            NoHandler: there is no handler, and the consumer is strict.
        """
        handler = self._by_type.get(message.type, self._of_any_type)
        if handler is None and self._strict:
            raise NoHandler(message)
        return None if self.is_skipped(message) else handler

    def is_skipped(self, message: StoredMessage) -> bool:
        """Whether a message is skipped because its contents were erased."""
        if not message.is_erased:
            return False
        return (message.type if message.type in self._by_type else None) not in self._with_erased

    def check_any(self, consumer: str) -> None:
        """Check that there is a handler: without one, the consumer would skip every message.

        Raises:
            InvalidArgument: there is no handler.
        """
        if not self._all():
            raise InvalidArgument(
                f"Consumer {consumer!r} has no handlers and would skip every message; import the "
                "module that registers its handlers before you run it"
            )

    def check_sync(self) -> None:
        """Check that no handler is async.

        Raises:
            InvalidArgument: a handler is async.
        """
        for handler in self._all():
            if is_async(handler):
                raise InvalidArgument(
                    f"Handler {handler!r} is async; run the consumer with "
                    "`await consumer.run_async(...)`"
                )

    def check_async(self) -> None:
        """Check that all handlers are async, as `max_in_flight` requires.

        Raises:
            InvalidArgument: a handler is not async.
        """
        for handler in self._all():
            if not is_async(handler):
                raise InvalidArgument(
                    f"Handler {handler!r} is not async; max_in_flight requires handlers declared "
                    "with `async def`"
                )

    def _all(self) -> list[Handler]:
        of_any_type = [] if self._of_any_type is None else [self._of_any_type]
        return [*self._by_type.values(), *of_any_type]

    @property
    def names(self) -> dict[str, str]:
        """The name of each handler by message type; `*` stands for all other types."""
        names = {type_: _name(handler) for type_, handler in sorted(self._by_type.items())}
        if self._of_any_type is not None:
            names["*"] = _name(self._of_any_type)
        return names

    @property
    def only(self) -> list[str] | None:
        """The handled types, sorted, if other types are skipped; None if no type is skipped."""
        return None if self._strict or self._of_any_type is not None else sorted(self._by_type)


def _no_check(_session: Session) -> None:
    pass


def _name(handler: Callable[..., Any]) -> str:
    name: str = getattr(handler, "__qualname__", type(handler).__qualname__)
    return name.rpartition("<locals>.")[2]
