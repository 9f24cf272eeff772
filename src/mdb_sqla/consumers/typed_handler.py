"""Handlers that get the object of a message."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from mdb_sqla.consumers.handlers import Handler, is_async
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import StoredMessage

__all__ = ["typed_handler"]


def typed_handler(handler: Callable[..., Any], types: MessageTypes) -> Handler:
    """Return a handler that decodes the message, and calls a handler that takes the object first.

    Raises:
        InvalidArgument: the handler is not callable.
    """
    if not callable(handler):
        raise InvalidArgument(f"handler must be callable, got {described(handler)}")

    # The unit of work, except for messages in flight.
    async def call_async(message: StoredMessage, *unit: Any) -> Any:
        return await handler(types.decode(message), message, *unit)

    def call(message: StoredMessage, *unit: Any) -> Any:
        return handler(types.decode(message), message, *unit)

    named: Any = handler if hasattr(handler, "__qualname__") else type(handler)
    return wraps(named)(call_async if is_async(handler) else call)
