"""What the entities of a store have in common: how they decide, and what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from mdb_sqla.entities.fold import Fold
from mdb_sqla.entities.message_encryption import MessageEncryption
from mdb_sqla.entities.snapshots import SnapshotFormat
from mdb_sqla.entities.state import State
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import Message, StoredMessage
from mdb_sqla.words.stream_name import StreamName

__all__ = ["Behavior"]

_S = TypeVar("_S")


class Behavior(NamedTuple, Generic[_S]):
    """What the entities of a store have in common.

    Attributes:
        fold: computes the state.
        encryption: encrypts personal data.
        snapshots: the format of snapshots; None if there are none.
        decider: returns the events that a command causes; None if there are no commands.
    """

    fold: Fold[_S]
    encryption: MessageEncryption
    snapshots: SnapshotFormat[_S] | None
    decider: Callable[[Any, _S], Any] | None

    def decide(self, command: Any, state: _S) -> list[Any]:
        """Return the events that a command causes.

        Raises:
            InvalidArgument: there is no decider, or it returned something else than events.
        """
        if self.decider is None:
            raise InvalidArgument(
                f"The EntityStore has no decide=, which would execute {described(command)}"
            )
        decided = self.decider(command, state)
        if decided is None:
            return []
        if isinstance(decided, Message) or type(decided) in self.fold.types:
            return [decided]
        if isinstance(decided, str | bytes | dict) or not isinstance(decided, Iterable):
            raise InvalidArgument(
                f"decide must return an event, a list of events or None, got {described(decided)}"
            )
        return list(decided)

    def message(self, event: Any, follow: StoredMessage | None) -> Message:
        """Return an event as a message.

        Raises:
            InvalidArgument: it is neither a message nor an instance of a message type.
            InvalidMessage: it is not valid.
        """
        message = event if isinstance(event, Message) else self.fold.types.message(event)
        return message if follow is None else message.follow(follow)

    def snapshot(self, name: StreamName, state: State[_S]) -> tuple[StreamName, Message] | None:
        """Return the snapshot to write with events, and its stream; None if none is due.

        Raises:
            InvalidArgument: the state can't be recorded.
        """
        snapshots = self.snapshots
        if snapshots is None or state.version - state.recorded < snapshots.every:
            return None
        message = snapshots.message(name, state)
        return None if message is None else (snapshots.stream_name(name), message)
