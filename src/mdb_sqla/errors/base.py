"""What every error is."""

from __future__ import annotations

from typing import Any

__all__ = ["InvalidArgument", "MessageStoreError"]


class MessageStoreError(Exception):
    """What every error of this package is."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The constructors take values, not the message that they make of them.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[MessageStoreError], args: tuple[object, ...], values: dict[str, object]
) -> MessageStoreError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(values)
    return error


class InvalidArgument(MessageStoreError, ValueError):
    """A value that breaks a rule of the method it was passed to; nothing was sent to the server."""
