"""The decorator that registers a consumer's handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from mdb_sqla.consumers.handlers import Handler, Handlers
from mdb_sqla.consumers.typed_handler import typed_handler
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import StoredMessage

__all__ = ["HandlerRegistration"]

_H = TypeVar("_H", bound=Handler)
_P = ParamSpec("_P")
_R = TypeVar("_R")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")


class HandlerRegistration:
    """Base class of a consumer: the registration of its handlers.

    Args:
        types: the message types; None if handlers are registered by the names of types.
        strict: see `Consumer`.
        in_flight: whether handlers get no unit of work.
    """

    def __init__(self, types: MessageTypes | None, *, strict: bool, in_flight: bool) -> None:
        self.handlers = Handlers(strict=strict, in_flight=in_flight)
        self._types = types

    @overload
    def on(self, *types: str, erased: bool = False) -> Callable[[_H], _H]: ...

    @overload
    def on(
        self, type_: type[_A], /
    ) -> Callable[
        [Callable[Concatenate[_A, StoredMessage, _P], _R]],
        Callable[Concatenate[_A, StoredMessage, _P], _R],
    ]: ...

    @overload
    def on(
        self, type_: type[_A], other: type[_B], /
    ) -> Callable[
        [Callable[Concatenate[_A | _B, StoredMessage, _P], _R]],
        Callable[Concatenate[_A | _B, StoredMessage, _P], _R],
    ]: ...

    @overload
    def on(
        self, type_: type[_A], other: type[_B], third: type[_C], /
    ) -> Callable[
        [Callable[Concatenate[_A | _B | _C, StoredMessage, _P], _R]],
        Callable[Concatenate[_A | _B | _C, StoredMessage, _P], _R],
    ]: ...

    @overload
    def on(
        self, *types: type[Any]
    ) -> Callable[
        [Callable[Concatenate[Any, StoredMessage, _P], _R]],
        Callable[Concatenate[Any, StoredMessage, _P], _R],
    ]: ...

    def on(self, *types: Any, erased: bool = False) -> Callable[[Any], Any]:
        """Register the decorated handler for these message types; without types, for all others.

        With classes, which must be among the consumer's message types, the handler gets the object
        as its first argument: `def bill(placed: Placed, message, unit)`. It is also called for
        messages with a former name of the class. If the data can't be decoded, this is a failure of
        the message, like an error of the handler.

        Args:
            types: the message types, either all as strings or all as classes.
            erased: whether to call the handler with messages whose contents were erased, too. They
                have no data and `is_erased`; by default, they are skipped. Not with classes.

        Raises:
            InvalidArgument: a type is not a string or a message type, or already has a handler;
                `erased` is not a boolean; or the handler has other parameters.
        """
        if not types or not all(isinstance(each, type) for each in types):
            return self.handlers.on(*types, erased=erased)
        if self._types is None:
            raise InvalidArgument(
                f"The consumer has no message types, got {described(types[0])}: pass it "
                "types=MessageTypes(...)"
            )
        if erased:
            raise InvalidArgument(
                "An erased message can't be decoded: register a handler for the name of its type"
            )
        message_types = self._types
        names = [name for each in types for name in message_types.names(each)]

        def add(handler: Any) -> Any:
            decoding = typed_handler(handler, message_types)
            self.handlers.check_parameters(handler, "object")
            self.handlers.add(decoding, *names)
            return handler

        return add
