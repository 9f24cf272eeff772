"""What a projection consists of: categories, table, key, and handlers by message type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.projections.message_handler import MessageHandler
from mdb_sqla.projections.row_keys import RowKeys
from mdb_sqla.projections.row_mapping import RowMapping
from mdb_sqla.words.argument_checks import described, instance, integer, key, text
from mdb_sqla.words.message import StoredMessage
from mdb_sqla.words.stream_name import category_name

__all__ = ["ProjectionDefinition"]

_R = TypeVar("_R")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")

KeyFunction = Callable[..., object]
"""See `Projection`."""


class ProjectionDefinition(Generic[_R]):
    """Base class of a projection: what it consists of, and the registration of its handlers.

    Args:
        name: see `Projection`, as for all others.
        categories: the categories.
        row: the class of the rows.
        table: the table.
        key: the key function.
        types: the message types.
        version: the version.

    Attributes:
        mapping: the class of the rows and the table.
        keys: checks the keys of the rows.
        handlers: the handlers by message type.
        has_consumer: whether a consumer was created, which knows the handlers there were.
    """

    def __init__(
        self,
        name: str,
        *categories: str,
        row: type[_R],
        table: object = None,
        key: KeyFunction | None = None,
        types: MessageTypes | None = None,
        version: int = 1,
    ) -> None:
        self.name = _checked_name(name)
        if not categories:
            raise InvalidArgument(f"Projection {name!r} needs at least one category, got none")
        self.categories = tuple(dict.fromkeys(category_name(each) for each in categories))
        self.version = integer("version", version, 1)
        self.mapping: RowMapping[_R] = RowMapping(row, table)
        self.keys = RowKeys(self.name, self.mapping.key)
        self.handlers: dict[str, MessageHandler] = {}
        self.has_consumer = False
        self._key = key
        self._types = None if types is None else instance("types", types, MessageTypes)

    @overload
    def on(
        self, *types: str, key: KeyFunction | None = None
    ) -> Callable[
        [Callable[[_R | None, StoredMessage], _R | None]],
        Callable[[_R | None, StoredMessage], _R | None],
    ]: ...

    @overload
    def on(
        self, type_: type[_A], /, *, key: Callable[[_A, StoredMessage], object] | None = None
    ) -> Callable[
        [Callable[[_R | None, _A, StoredMessage], _R | None]],
        Callable[[_R | None, _A, StoredMessage], _R | None],
    ]: ...

    @overload
    def on(
        self,
        type_: type[_A],
        other: type[_B],
        /,
        *,
        key: Callable[[_A | _B, StoredMessage], object] | None = None,
    ) -> Callable[
        [Callable[[_R | None, _A | _B, StoredMessage], _R | None]],
        Callable[[_R | None, _A | _B, StoredMessage], _R | None],
    ]: ...

    @overload
    def on(
        self,
        type_: type[_A],
        other: type[_B],
        third: type[_C],
        /,
        *,
        key: Callable[[_A | _B | _C, StoredMessage], object] | None = None,
    ) -> Callable[
        [Callable[[_R | None, _A | _B | _C, StoredMessage], _R | None]],
        Callable[[_R | None, _A | _B | _C, StoredMessage], _R | None],
    ]: ...

    def on(self, *types: Any, key: KeyFunction | None = None) -> Callable[[Any], Any]:
        """Register the decorated handler for messages of these types.

        It gets the row, or None if there is none, and returns the row as it is after the message,
        or None if there is none. With classes, which must be among the message types, it is called
        `handler(row, event, message)`; with names of types, `handler(row, message)`. It must do
        nothing else: it is called again for the same message whenever rows are computed again.

        Args:
            types: the message types, either all as strings or all as classes.
            key: the key function for these types; by default that of the projection.

        Raises:
            InvalidArgument: a type is not a string or a message type, or already has a handler; the
                id of a stream can't be the primary key, and there is no key function; or a consumer
                of the projection was already created.
        """
        if not types:
            raise InvalidArgument("on() needs at least one message type, got none")
        if self.has_consumer:
            raise InvalidArgument(
                f"A consumer of projection {self.name!r} was created before this handler, and "
                "would skip its messages: register all handlers first"
            )
        typed = all(isinstance(each, type) for each in types)
        if typed and self._types is None:
            raise InvalidArgument(
                f"Projection {self.name!r} has no message types, got {described(types[0])}: pass "
                "it types=MessageTypes(...)"
            )
        names = [text("message type", each) for each in types] if not typed else []
        if typed and self._types is not None:
            names = [name for each in types for name in self._types.names(each)]
        function = self._key if key is None else key
        if function is None:
            self.keys.check_default()

        def add(handler: Any) -> Any:
            if not callable(handler):
                raise InvalidArgument(f"handler must be callable, got {described(handler)}")
            for name in names:
                if name in self.handlers:
                    raise InvalidArgument(f"Messages of type {name!r} already have a handler")
                self.handlers[name] = MessageHandler(
                    handler, self._types if typed else None, function
                )
            return handler

        return add

    @property
    def is_partitionable(self) -> bool:
        """Whether every row is folded from the messages of one id, so that slots share no row."""
        return all(handler.key is None for handler in self.handlers.values())


def _checked_name(name: object) -> str:
    checked = key("name", name)
    if ":" in checked:
        raise InvalidArgument(f"name must not contain ':', got {described(name)}")
    return checked
