"""Writes that are pending until commit."""

from __future__ import annotations

from collections.abc import Sequence

from mdb_sqla.errors import NotCommitted
from mdb_sqla.store.write_arguments import Write
from mdb_sqla.words.message import MessagePosition
from mdb_sqla.words.stream_name import StreamName

__all__ = ["PendingWrite"]


class PendingWrite:
    """A write that is pending until the session commits."""

    __slots__ = ("_positions", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self._positions: Sequence[MessagePosition] | None = None

    @property
    def is_committed(self) -> bool:
        """Whether the write is committed."""
        return self._positions is not None

    @property
    def stream_name(self) -> StreamName:
        """The stream name."""
        return self.write.stream_name

    @property
    def position(self) -> int:
        """The position of the last message, available after the commit.

        Raises:
            NotCommitted: the transaction is not committed yet, or was rolled back.
        """
        return self.positions[-1].position

    @property
    def positions(self) -> Sequence[MessagePosition]:
        """The positions of the messages, available after the commit.

        Raises:
            NotCommitted: the transaction is not committed yet, or was rolled back.
        """
        if self._positions is None:
            raise NotCommitted(self.stream_name)
        return self._positions
