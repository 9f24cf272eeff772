"""Errors of consumers, hosts and relays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mdb_sqla.errors.base import MessageStoreError

__all__ = [
    "BrokerRejected",
    "ConsumerAhead",
    "ConsumerPaused",
    "HandlerFailed",
    "HttpUnavailable",
    "MemberReplaced",
    "MessagesDeleted",
    "MetricsUnavailable",
    "NoHandler",
    "NoReply",
    "PositionsExist",
    "SlotLost",
    "Unavailable",
]


class PositionsExist(MessageStoreError):
    """Deleting the messages would leave consumers positioned beyond the end; roll back.

    Attributes:
        consumers: the consumers' names.
    """

    def __init__(self, consumers: list[str]) -> None:
        super().__init__(
            f"No messages were deleted: consumers {', '.join(map(repr, consumers))} would skip new "
            "messages up to their saved positions; reset the consumers as well"
        )
        self.consumers = consumers


class ConsumerAhead(MessageStoreError):
    """A consumer's position is beyond the last message of the store. No message was handled.

    The store was emptied or restored to an earlier state, and the consumer would skip new messages
    up to its position.

    Attributes:
        consumer: the consumer's name.
        slot: the slot.
        position: the consumer's position.
        drawn: the last global position that the store has assigned.
    """

    def __init__(self, consumer: str, slot: int, position: int, drawn: int) -> None:
        restarted = " after a restart of the sequence" if position <= drawn else ""
        super().__init__(
            f"Consumer {consumer!r} is at global position {position} in slot {slot}, but the last "
            f"position assigned is {drawn}{restarted}: the store was emptied or restored to an "
            "earlier state. Choose where the consumer continues with `mdb reset-consumer`"
        )
        self.consumer = consumer
        self.slot = slot
        self.position = position
        self.drawn = drawn


class ConsumerPaused(MessageStoreError):
    """A consumer can't catch up, because it is paused. Messages handled before that are saved.

    Attributes:
        consumer: the consumer's name.
        paused_at: since when.
        paused_by: who paused it.
    """

    def __init__(self, consumer: str, paused_at: datetime, paused_by: str) -> None:
        super().__init__(
            f"Consumer {consumer!r} can't catch up: it is paused since "
            f"{paused_at:%Y-%m-%d %H:%M:%S}Z by {paused_by}. Resume it with "
            f"mdb resume-consumer {consumer}"
        )
        self.consumer = consumer
        self.paused_at = paused_at
        self.paused_by = paused_by


class MessagesDeleted(MessageStoreError):
    """Messages that a consumer has not handled were deleted. No message was handled.

    A retention policy has deleted messages of its categories beyond its position: they were deleted
    before the consumer first started, the consumer was reset, or the operator has ignored it.

    Attributes:
        consumer: the consumer's name.
        slot: the slot.
        position: the consumer's position.
        deleted_up_to: the global position up to which messages were deleted.
    """

    def __init__(self, consumer: str, slot: int, position: int, deleted_up_to: int) -> None:
        super().__init__(
            f"Consumer {consumer!r} is at global position {position} in slot {slot}, but messages "
            f"of its categories up to {deleted_up_to} were deleted by a retention policy. To "
            'handle the messages that are left, pass start="earliest" to the consumer; to continue '
            f"after them, run mdb reset-consumer {consumer} --start {deleted_up_to + 1}"
        )
        self.consumer = consumer
        self.slot = slot
        self.position = position
        self.deleted_up_to = deleted_up_to


class HttpUnavailable(MessageStoreError):
    """An HTTP endpoint can't start: the address is in use, or the extra `http` is missing."""


class MetricsUnavailable(MessageStoreError):
    """Metrics can't be exported, because the extra `metrics` is missing."""


class NoReply(MessageStoreError, TimeoutError):
    """No reply arrived before the timeout. It may still arrive later.

    The request was written, unless the database was unreachable the whole time.

    Attributes:
        stream_name: the reply stream.
        seconds: the timeout.
    """

    def __init__(self, stream_name: str, seconds: float) -> None:
        super().__init__(f"No reply in stream {stream_name} within {seconds:g} seconds")
        self.stream_name = stream_name
        self.seconds = seconds


class NoHandler(MessageStoreError):
    """A strict consumer read a message whose type has no handler.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any) -> None:
        super().__init__(
            f"No handler for message {message.global_position} of type {message.type!r} in stream "
            f"{message.stream_name}: register a handler, or set strict=False"
        )
        self.message = message


class HandlerFailed(MessageStoreError):
    """All attempts to handle a message failed. Their effects were rolled back.

    `__cause__` is the handler's error.

    Attributes:
        message: the message; if a transaction handles several, the first of them.
        attempts: the number of attempts.
    """

    def __init__(self, consumer: str, message: Any, attempts: int) -> None:
        super().__init__(
            f"Consumer {consumer!r} could not handle message {message.global_position} of type "
            f"{message.type!r} in stream {message.stream_name} after {attempts} "
            f"attempt{'s' if attempts != 1 else ''}"
        )
        self.message = message
        self.attempts = attempts


class BrokerRejected(MessageStoreError):
    """A broker rejected a relay's message because of its content.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, reason: str) -> None:
        super().__init__(
            f"Message {message.global_position} of type {message.type!r} in stream "
            f"{message.stream_name} was rejected: {reason}"
        )
        self.message = message


class SlotLost(MessageStoreError):
    """Another process took over a slot, and the consumer stopped in this process.

    Attributes:
        consumer: the consumer's name.
        slot: the slot.
    """

    def __init__(self, consumer: str, slot: int) -> None:
        super().__init__(
            f"Another process took over slot {slot} of consumer {consumer!r}; to run the consumer "
            "in several processes, pass a Group"
        )
        self.consumer = consumer
        self.slot = slot


class MemberReplaced(MessageStoreError):
    """Another process joined a consumer's group under the same member name.

    Attributes:
        consumer: the consumer's name.
        member: the member's name.
    """

    def __init__(self, consumer: str, member: str) -> None:
        super().__init__(
            f"Another process joined the group of consumer {consumer!r} as member {member!r}; each "
            "process needs a unique member name"
        )
        self.consumer = consumer
        self.member = member


class Unavailable(MessageStoreError):
    """Raise this in a handler when a resource that it needs is unavailable.

    The consumer retries the handler, backing off to at most ten seconds between attempts, until it
    succeeds or raises another error. These attempts don't count toward the retry policy's limit.
    """
