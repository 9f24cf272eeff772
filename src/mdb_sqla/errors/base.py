"""Base classes of all errors."""

from __future__ import annotations

from typing import Any

__all__ = ["InvalidArgument", "MessageStoreError"]


class MessageStoreError(Exception):
    """Base class of all errors raised by this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors take attribute values, not the message.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[MessageStoreError], args: tuple[object, ...], values: dict[str, object]
) -> MessageStoreError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(values)
    return error


class InvalidArgument(MessageStoreError, ValueError):
    """An invalid argument; nothing was sent to the server."""
