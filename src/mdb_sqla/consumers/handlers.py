"""Which function handles a message."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mdb_sqla.errors import InvalidArgument, NoHandler
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.words.argument_checks import described, text
from mdb_sqla.words.message import StoredMessage

__all__ = ["Handler", "Handlers", "is_async"]

Handler = (
    Callable[[StoredMessage, UnitOfWork], Any]
    | Callable[[StoredMessage, AsyncUnitOfWork], Awaitable[Any]]
    | Callable[[StoredMessage], Awaitable[Any]]
)
"""Takes a message and the unit of work that it is handled in, sync or async; where several are in
flight, the message alone."""


_H = TypeVar("_H", bound=Handler)


def is_async(handler: object) -> bool:
    """Whether a handler is to be awaited: an `async def`, or an object that is called by one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(type(handler), "__call__", None)  # noqa: B004
    )


class Handlers:
    """Functions by the type of the messages that they handle.

    Args:
        strict: whether a message of a type without a handler is an error, and not left out.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._by_type: dict[str, Handler] = {}
        self._of_any_type: Handler | None = None

    def on(self, *types: str) -> Callable[[_H], _H]:
        """Return a decorator that has a function handle messages of these types. See `add`.

        Raises:
            InvalidArgument: a type is no string.
        """
        for each in types:
            # Not when the decorator is called: `@consumer.on` without parentheses never is.
            text("A message type", each)

        def add(handler: _H) -> _H:
            self.add(handler, *types)
            return handler

        return add

    def add(self, handler: Handler, *types: str) -> None:
        """Have a function handle messages of these types, or, without a type, all others.

        Raises:
            InvalidArgument: a type is no string, or has a handler already; the handler can't be
                called.
        """
        if not callable(handler):
            raise InvalidArgument(f"A handler must be a function: {described(handler)}")
        if not types:
            if self._of_any_type is not None:
                raise InvalidArgument(f"All other types have a handler: {self._of_any_type!r}")
            self._of_any_type = handler
        for type_ in (text("A message type", each) for each in types):
            if type_ in self._by_type:
                raise InvalidArgument(f"Messages of type {type_!r} have a handler already")
            self._by_type[type_] = handler

    def find(self, message: StoredMessage) -> Handler | None:
        """Return the function that handles a message; None if it is to be left out.

        Raises:
            NoHandler: there is none, and they are strict.
        """
        handler = self._by_type.get(message.type, self._of_any_type)
        if handler is None and self._strict:
            raise NoHandler(message)
        return handler

    def refuse_none(self, consumer: str) -> None:
        """Check that there is a handler: without one, a consumer would skip all messages for good.

        Raises:
            InvalidArgument: there is none.
        """
        if not self._all():
            raise InvalidArgument(
                f"Consumer {consumer!r} has no handlers, and would skip every message: import the "
                "module that has them before it runs"
            )

    def refuse_async(self) -> None:
        """Check that all can be called without awaiting them.

        Raises:
            InvalidArgument: a handler is async.
        """
        for handler in self._all():
            if is_async(handler):
                raise InvalidArgument(
                    f"An async handler needs `await consumer.run_async(...)`: {handler!r}"
                )

    def refuse_sync(self) -> None:
        """Check that all are to be awaited, so that several can be in flight.

        Raises:
            InvalidArgument: a handler is not async.
        """
        for handler in self._all():
            if not is_async(handler):
                raise InvalidArgument(
                    "A handler of which several are in flight must be declared with `async def`: "
                    f"{handler!r}"
                )

    def _all(self) -> list[Handler]:
        of_any_type = [] if self._of_any_type is None else [self._of_any_type]
        return [*self._by_type.values(), *of_any_type]

    @property
    def names(self) -> dict[str, str]:
        """The name of each function by the type that it handles; `*` stands for all others."""
        names = {type_: _name(handler) for type_, handler in sorted(self._by_type.items())}
        if self._of_any_type is not None:
            names["*"] = _name(self._of_any_type)
        return names

    @property
    def only(self) -> list[str] | None:
        """The types that are handled, sorted, where all others are left out; None where none is."""
        return None if self._strict or self._of_any_type is not None else sorted(self._by_type)


def _name(handler: Handler) -> str:
    name: str = getattr(handler, "__qualname__", type(handler).__qualname__)
    return name.rpartition("<locals>.")[2]
