"""What ends a consumer, or what keeps it waiting."""

from __future__ import annotations

from typing import Any

from mdb_sqla.errors.base import MessageStoreError

__all__ = [
    "BrokerRejected",
    "ConsumerAhead",
    "HandlerFailed",
    "HttpUnavailable",
    "MemberReplaced",
    "NoHandler",
    "NoReply",
    "PositionsExist",
    "SlotLost",
    "Unavailable",
]


class PositionsExist(MessageStoreError):
    """Consumers have positions that would be beyond all messages; roll back.

    Attributes:
        consumers: their names.
    """

    def __init__(self, consumers: list[str]) -> None:
        super().__init__(
            f"The messages were not deleted: {', '.join(map(repr, consumers))} would skip what is "
            "written up to the positions that they have, unless those are reset with it"
        )
        self.consumers = consumers


class ConsumerAhead(MessageStoreError):
    """A consumer is at a global position that the store has not reached; nothing was handled.

    The store was emptied, or an earlier state of it restored, and the consumer would skip what is
    written up to its position.

    Attributes:
        consumer: the consumer's name.
        slot: which part of its work.
        position: the consumer's.
        drawn: the last global position that was drawn.
    """

    def __init__(self, consumer: str, slot: int, position: int, drawn: int) -> None:
        restarted = ", and they were restarted after it was there" if position <= drawn else ""
        super().__init__(
            f"Consumer {consumer!r} is at global position {position} in slot {slot}, and the last "
            f"one that was drawn is {drawn}{restarted}: the store was emptied, or an earlier state "
            "of it restored. Set where it is to continue with `mdb reset-consumer`"
        )
        self.consumer = consumer
        self.slot = slot
        self.position = position
        self.drawn = drawn


class HttpUnavailable(MessageStoreError):
    """HTTP can't be served: the address is in use, or the extra `http` is not installed."""


class NoReply(MessageStoreError, TimeoutError):
    """There was no reply in time; it may still come.

    What was asked is written, unless the database could not be reached all the while.

    Attributes:
        stream_name: the stream that it was to come to.
        seconds: how long it was waited for.
    """

    def __init__(self, stream_name: str, seconds: float) -> None:
        super().__init__(f"There was no reply in {stream_name} within {seconds:g} seconds")
        self.stream_name = stream_name
        self.seconds = seconds


class NoHandler(MessageStoreError):
    """A strict consumer has read a message of a type that it has no handler for.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any) -> None:
        super().__init__(
            f"There is no handler for messages of type {message.type!r}: "
            f"message {message.global_position}, stream {message.stream_name}"
        )
        self.message = message


class HandlerFailed(MessageStoreError):
    """A handler has raised an error, also when it was tried again; its effects are rolled back.

    The handler's own error is the `__cause__`.

    Attributes:
        message: the message; the first of them, where several are handled in one transaction.
        attempts: how often it was called.
    """

    def __init__(self, consumer: str, message: Any, attempts: int) -> None:
        super().__init__(
            f"Consumer {consumer!r} could not handle message {message.global_position} of type "
            f"{message.type!r}, stream {message.stream_name}, in {attempts} attempts"
        )
        self.message = message
        self.attempts = attempts


class BrokerRejected(MessageStoreError):
    """A broker does not take a message that a relay has read, for the message's own sake.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, reason: str) -> None:
        super().__init__(
            f"Message {message.global_position} of type {message.type!r}, "
            f"stream {message.stream_name}, was refused: {reason}"
        )
        self.message = message


class SlotLost(MessageStoreError):
    """Another process has taken over what this one consumed; nothing more is done here.

    Attributes:
        consumer: the consumer's name.
        slot: which part of its work.
    """

    def __init__(self, consumer: str, slot: int) -> None:
        super().__init__(
            f"Slot {slot} of consumer {consumer!r} was taken over: it runs somewhere else, too"
        )
        self.consumer = consumer
        self.slot = slot


class MemberReplaced(MessageStoreError):
    """Another process has joined a consumer's group under this member's name.

    Attributes:
        consumer: the consumer's name.
        member: the member's name.
    """

    def __init__(self, consumer: str, member: str) -> None:
        super().__init__(
            f"Another process has become member {member!r} of the group of consumer {consumer!r}"
        )
        self.consumer = consumer
        self.member = member


class Unavailable(MessageStoreError):
    """What a handler needs is away; raise it for the message to be handled when it is back.

    The consumer waits, some seconds at most between two attempts, and calls the handler again until
    it succeeds or fails otherwise. No attempt is counted.
    """
