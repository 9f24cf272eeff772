"""Base classes of the errors."""

from __future__ import annotations

from typing import Any

__all__ = ["InvalidArgument", "MessageStoreError"]


class MessageStoreError(Exception):
    """The base class of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors take values rather than the message.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[MessageStoreError], args: tuple[object, ...], values: dict[str, object]
) -> MessageStoreError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(values)
    return error


class InvalidArgument(MessageStoreError, ValueError):
    """An invalid argument; nothing was sent to the server."""
