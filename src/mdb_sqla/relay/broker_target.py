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
"""Returns where to publish a message: a subject, routing key, topic or stream."""


@runtime_checkable
class Target(Protocol):
    """The broker that a relay publishes to. Each broker's module, such as `relay.nats`, has one.

    If a target has an attribute `messaging_system`, spans and metrics name it; otherwise, they name
    the target's class, in lower case.

    Attributes:
        destination: returns where to publish a message. If it raises an error, the message fails.
    """

    destination: Destination

    @property
    def name(self) -> str:
        """The display name."""
        ...

    async def connect(self, timeout: float) -> None:
        """Connect, unless already connected.

        Raises:
            Exception: the broker is unavailable; raised within about `timeout` seconds. Afterwards
                `close` is called, as after a cancellation.
        """
        ...

    async def publish(self, destination: str, envelope: Envelope, timeout: float) -> None:
        """Publish a message, and return once the broker has confirmed that it stored the message.

        Raises:
            BrokerRejected: the broker rejected the message because of its content.
            Exception: the broker is unavailable; raised within about `timeout` seconds.
        """
        ...

    async def close(self) -> None:
        """Disconnect; `connect` may be called again."""
        ...


def category(message: StoredMessage) -> str:
    """Return the category of a message."""
    return message.stream_name.partition("-")[0]


def dotted(message: StoredMessage) -> str:
    """Return `category.type`, the default destination."""
    return f"{category(message)}.{message.type}"


def checked_broker(broker: object, kind: type[_B]) -> _B:
    """Return a FastStream broker. Errors show only its type, because its URL has a password.

    Raises:
        InvalidArgument: the broker is of another type.
    """
    if not isinstance(broker, kind):
        raise InvalidArgument(
            f"broker must be an instance of {name_of(kind)}, got {name_of(type(broker))}"
        )
    return broker


def checked_destination(name: str, destination: Destination) -> Destination:
    """Return the function that determines the destination of a message.

    Raises:
        InvalidArgument: the argument is not callable.
    """
    if not callable(destination):
        raise InvalidArgument(
            f"{name} must be a function that takes a message, got {described(destination)}"
        )
    return destination
