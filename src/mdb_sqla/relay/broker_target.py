from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.relay.envelope import Envelope
from mdb_sqla.words.argument_checks import described, name_of
from mdb_sqla.words.message import StoredMessage

__all__ = ["Destination", "Target", "category", "checked_broker", "checked_destination", "dotted"]

_B = TypeVar("_B")

Destination = Callable[[StoredMessage], str]
"""Tells where a message goes: a subject, routing key, topic or stream."""


@runtime_checkable
class Target(Protocol):
    """What a relay publishes to; `mdb_sqla.relay.nats` and its siblings have one each.

    Attributes:
        destination: tells where a message goes. What it raises is that message's failure.
    """

    destination: Destination

    @property
    def name(self) -> str:
        """What it is, for people."""
        ...

    async def connect(self, timeout: float) -> None:
        """Connect, unless it is connected.

        Raises:
            Exception: within about `timeout` seconds; whatever it is, the broker is away. `close`
                is called then, as where it is cancelled.
        """
        ...

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish, and return when the broker has confirmed that it keeps the message.

        Raises:
            BrokerRejected: the broker does not take this message.
            Exception: anything else, within about `timeout` seconds, where the broker is away.
        """
        ...

    async def close(self) -> None:
        """Disconnect; it may be connected again."""
        ...


def category(message: StoredMessage) -> str:
    """Return the category of a message."""
    return message.stream_name.partition("-")[0]


def dotted(message: StoredMessage) -> str:
    """Return `category.type`: where a message goes unless another function is given."""
    return f"{category(message)}.{message.type}"


def checked_broker(broker: object, kind: type[_B]) -> _B:
    """Return a broker of FastStream's, which is shown by its type: its address has a password.

    Raises:
        InvalidArgument: it is none of this kind.
    """
    if not isinstance(broker, kind):
        raise InvalidArgument(f"The broker must be a {name_of(kind)}, not {name_of(type(broker))}")
    return broker


def checked_destination(name: str, destination: Destination) -> Destination:
    """Return the function that decides where a message goes.

    Raises:
        InvalidArgument: it can't be called.
    """
    if not callable(destination):
        raise InvalidArgument(
            f"{name} must be a function that takes a message: {described(destination)}"
        )
    return destination
