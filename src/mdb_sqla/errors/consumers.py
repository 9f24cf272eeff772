"""Errors of consumers, hosts and relays."""

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
    """Deleting the messages would leave consumers with positions beyond all of them; roll back.

    Attributes:
        consumers: the consumers' names.
    """

    def __init__(self, consumers: list[str]) -> None:
        super().__init__(
            f"The messages were not deleted: consumers {', '.join(map(repr, consumers))} have "
            "positions, and would skip new messages up to them; reset the consumers as well"
        )
        self.consumers = consumers


class ConsumerAhead(MessageStoreError):
    """A consumer's position is beyond the last message of the store; nothing was handled.

    The store was emptied, or restored to an earlier state, and the consumer would skip new messages
    up to its position.

    Attributes:
        consumer: the consumer's name.
        slot: the slot of its work.
        position: the consumer's position.
        drawn: the last global position that was assigned.
    """

    def __init__(self, consumer: str, slot: int, position: int, drawn: int) -> None:
        restarted = " after a restart of the sequence" if position <= drawn else ""
        super().__init__(
            f"Consumer {consumer!r} is at global position {position} in slot {slot}, but the last "
            f"assigned one is {drawn}{restarted}: the store was emptied, or restored to an earlier "
            "state. Choose where it continues with `mdb reset-consumer`"
        )
        self.consumer = consumer
        self.slot = slot
        self.position = position
        self.drawn = drawn


class HttpUnavailable(MessageStoreError):
    """The health endpoint can't start: address in use, or extra `http` not installed."""


class NoReply(MessageStoreError, TimeoutError):
    """There was no reply in time; it may still arrive.

    The request is written, unless the database was unreachable the whole time.

    Attributes:
        stream_name: the reply stream.
        seconds: the timeout.
    """

    def __init__(self, stream_name: str, seconds: float) -> None:
        super().__init__(f"No reply in stream {stream_name} within {seconds:g} seconds")
        self.stream_name = stream_name
        self.seconds = seconds


class NoHandler(MessageStoreError):
    """A strict consumer has read a message whose type has no handler.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any) -> None:
        super().__init__(
            f"No handler for messages of type {message.type!r}: "
            f"message {message.global_position}, stream {message.stream_name}"
        )
        self.message = message


class HandlerFailed(MessageStoreError):
    """All attempts to handle a message have failed; their effects are rolled back.

    The handler's error is the `__cause__`.

    Attributes:
        message: the message; the first one, if several are handled in one transaction.
        attempts: the number of attempts.
    """

    def __init__(self, consumer: str, message: Any, attempts: int) -> None:
        super().__init__(
            f"Consumer {consumer!r} could not handle message {message.global_position} of type "
            f"{message.type!r}, stream {message.stream_name}, in {attempts} attempts"
        )
        self.message = message
        self.attempts = attempts


class BrokerRejected(MessageStoreError):
    """A broker rejects a relay's message because of its content.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, reason: str) -> None:
        super().__init__(
            f"Message {message.global_position} of type {message.type!r}, "
            f"stream {message.stream_name}, was rejected: {reason}"
        )
        self.message = message


class SlotLost(MessageStoreError):
    """Another process has taken over a slot; the consumer has stopped here.

    Attributes:
        consumer: the consumer's name.
        slot: the slot of its work.
    """

    def __init__(self, consumer: str, slot: int) -> None:
        super().__init__(
            f"Slot {slot} of consumer {consumer!r} was taken over by another process; to run "
            "several at a time, use a group"
        )
        self.consumer = consumer
        self.slot = slot


class MemberReplaced(MessageStoreError):
    """Another process has joined a consumer's group with the same member name.

    Attributes:
        consumer: the consumer's name.
        member: the member's name.
    """

    def __init__(self, consumer: str, member: str) -> None:
        super().__init__(
            f"Another process has joined the group of consumer {consumer!r} as member {member!r}; "
            "each process needs a different name"
        )
        self.consumer = consumer
        self.member = member


class Unavailable(MessageStoreError):
    """Raise it in a handler when something that it needs is unavailable.

    The consumer calls the handler again, with pauses of at most ten seconds, until it succeeds or
    fails otherwise. Attempts are not counted.
    """
