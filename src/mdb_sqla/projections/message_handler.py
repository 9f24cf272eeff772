"""The handlers of a projection, and what they do to the rows of a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mdb_sqla.message_types import MessageTypes
from mdb_sqla.projections.row_keys import Key, RowKeys
from mdb_sqla.store.message_decoder import decoded
from mdb_sqla.words.message import StoredMessage

__all__ = ["MessageHandler", "Step"]


class Step(NamedTuple):
    """A message, with what its handler is called with and the keys of its rows."""

    message: StoredMessage
    handler: MessageHandler
    arguments: tuple[Any, ...]
    keys: Sequence[Key]


@dataclass(frozen=True)
class MessageHandler:
    """A handler of a projection.

    Attributes:
        function: `function(row, event, message)`; without message types, `function(row, message)`.
        types: decodes the message; None if the handler gets only the message.
        key: `key(event, message)` or `key(message)`; None for the id of the stream.
    """

    function: Callable[..., Any]
    types: MessageTypes | None
    key: Callable[..., object] | None

    def step(self, message: StoredMessage, keys: RowKeys) -> Step:
        """Decode a message and find its rows.

        Raises:
            ProjectionFailed: a key is of the wrong type.
            DecodingFailed: the message can't be decoded.
        """
        message = decoded(message)
        arguments: tuple[Any, ...]
        arguments = (message,) if self.types is None else (self.types.decode(message), message)
        found = (
            keys.default(message)
            if self.key is None
            else keys.checked(message, self.key(*arguments))
        )
        return Step(message, self, arguments, found)
