"""Every error that the package raises on purpose; what else a driver raises passes through."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mdb_sqla.errors.display import shown

__all__ = [
    "BrokerRefused",
    "ConditionNotActivated",
    "ConsumerAhead",
    "ConsumersHaveBegun",
    "DataExists",
    "DuplicateMessageId",
    "HandlerFailed",
    "HttpUnavailable",
    "InvalidArgument",
    "InvalidConsumerGroup",
    "InvalidCorrelation",
    "InvalidLine",
    "InvalidMessage",
    "InvalidSchemaName",
    "InvalidStreamName",
    "MemberReplaced",
    "MessageStoreError",
    "NoHandler",
    "NoReply",
    "NoReplyStream",
    "NotACategory",
    "NotAStream",
    "NotCommitted",
    "NotPermitted",
    "ReadNotExact",
    "Refusal",
    "SequenceBehind",
    "SlotLost",
    "StoreBusy",
    "StoreNotInstalled",
    "StoreRewound",
    "TooManyLocks",
    "TransactionConflict",
    "Unavailable",
    "UndecodableMessage",
    "UnrecognizedStore",
    "WrongExpectedVersion",
]


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


class ConsumersHaveBegun(MessageStoreError):
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


class InvalidStreamName(InvalidArgument):
    """A name that is no stream name, or a part that can't be put into one.

    Attributes:
        value: the name or the part.
    """

    def __init__(self, value: object, rule: str) -> None:
        super().__init__(f"Invalid stream name {shown(value)}: {rule}")
        self.value = value


class InvalidSchemaName(InvalidArgument):
    """A schema name that is empty, longer than 63 bytes, or has a `$`, a bracket or a NUL in it.

    Attributes:
        value: the name.
    """

    def __init__(self, value: str) -> None:
        super().__init__(
            f"Invalid schema name {value!r}: it must have 1 to 63 bytes and no $, [, ] and NUL"
        )
        self.value = value


class InvalidLine(InvalidArgument):
    """A line of a file that is no message; nothing of what is written with it is.

    Attributes:
        number: the line's, from 1.
    """

    def __init__(self, number: int, rule: str) -> None:
        super().__init__(f"Line {number}: {rule}")
        self.number = number


class InvalidMessage(MessageStoreError, ValueError):
    """A message that can't be stored, for its type, id, data or metadata.

    Where it comes from a write, nothing is written, and the transaction is as after any failed
    statement.

    Attributes:
        message: the message.
    """

    def __init__(self, message: Any, rule: str) -> None:
        id_ = message.id if isinstance(message.id, UUID) else shown(message.id)
        super().__init__(f"Invalid message of type {shown(message.type)} and id {id_}: {rule}")
        self.message = message


class UndecodableMessage(MessageStoreError, ValueError):
    """Python can't hold a stored message; the `__cause__` says why.

    It is an error of the engine's JSON deserializer, or the message's time is infinite or not in
    the years from 1 to 9999.

    The transaction is as it was. For a consumer it is a failure of the message, like a handler's.

    Attributes:
        stream_name: the stream.
        position: the message's position in the stream.
        global_position: the message's position in the whole store.
        before: the messages of the same read that come before it.
    """

    def __init__(self, message: Any, error: Exception) -> None:
        remedy = (
            "the owner of the store has to give it another time"
            if message.time is None
            else "pass create_engine() a json_deserializer that accepts it"
        )
        super().__init__(
            f"Message {message.global_position} of type {message.type!r}, position "
            f"{message.position} of stream {message.stream_name}, can't be decoded: "
            f"{type(error).__name__}: {error}. `mdb print` shows it as it is stored; to read it, "
            f"{remedy}"
        )
        self.stream_name: str = message.stream_name
        self.position: int = message.position
        self.global_position: int = message.global_position
        self.before: list[Any] = []


class NoReplyStream(InvalidArgument):
    """A reply to a message whose metadata names no reply stream.

    Attributes:
        message: the message that was to be answered.
    """

    def __init__(self, message: Any) -> None:
        super().__init__(
            f"There is no replyStreamName in the metadata of message {message.position} "
            f"of stream {message.stream_name}"
        )
        self.message = message


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
        tries: how often it was tried.
    """

    def __init__(self, consumer: str, message: Any, tries: int) -> None:
        super().__init__(
            f"Consumer {consumer!r} could not handle message {message.global_position} of type "
            f"{message.type!r}, stream {message.stream_name}, in {tries} tries"
        )
        self.message = message
        self.tries = tries


class BrokerRefused(MessageStoreError):
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


class NotCommitted(MessageStoreError):
    """The position of a message was asked for before its transaction was committed."""

    def __init__(self, stream_name: str) -> None:
        super().__init__(
            f"The position in stream {stream_name} is known once the transaction is committed"
        )


class StoreBusy(MessageStoreError):
    """Other transactions kept a change from being made; nothing was changed."""


class StoreRewound(MessageStoreError):
    """What was read before is not in the store any more, so that reading on would skip messages.

    The store was cleared, restored from a backup, or replaced by a standby that lacked its end. It
    may also be another store, or somebody has deleted the message.

    Attributes:
        global_position: of the last message that was read.
        id: its id.
    """

    def __init__(self, global_position: int, id: UUID) -> None:  # noqa: A002
        super().__init__(
            f"Message {id}, which was read at global position {global_position}, is not there any "
            "more: the store was cleared, restored or replaced since"
        )
        self.global_position = global_position
        self.id = id


class Refusal(MessageStoreError):
    """The server refused a call; the transaction is as after any failed statement."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.__dict__.update(values)


class WrongExpectedVersion(Refusal):
    """The stream's version is not the expected one, so nothing was written.

    Attributes:
        stream_name: the stream.
        expected_version: what the writer expected; `NO_STREAM` (-1) if it expected no stream.
        stream_version: what the stream is at; `NO_STREAM` (-1) if there is none.
    """

    stream_name: str
    expected_version: int
    stream_version: int


class NotAStream(Refusal):
    """The name of a category, where a stream's was needed.

    Attributes:
        stream_name: the name.
    """

    stream_name: str


class NotACategory(Refusal):
    """The name of a stream, where a category's was needed.

    Attributes:
        category: the name.
    """

    category: str


class InvalidCorrelation(Refusal):
    """The name of a stream for the correlation, where a category's was needed.

    Attributes:
        correlation: the name.
    """

    correlation: str


class InvalidConsumerGroup(Refusal):
    """A consumer group's member or size is missing or out of range.

    Attributes:
        member: the member, from 0; None if it was missing.
        size: the number of members; None if it was missing.
    """

    member: int | None
    size: int | None


class ConditionNotActivated(Refusal):
    """A condition was given, but the setting `message_store.sql_condition` is not `on`."""


class DuplicateMessageId(Refusal):
    """Another message has the same id, so nothing was written.

    Where repeats are recognised, it is one with another stream, type, data or metadata.

    Attributes:
        id: the id; None where row-level security keeps the server from telling it.
    """

    id: str | None


class TransactionConflict(Refusal):
    """A concurrent transaction came first, and PostgreSQL asks to run this one again, all of it.

    Attributes:
        sqlstate: 40001 for a serialization failure, 40P01 for a deadlock.
    """

    sqlstate: str


class ReadNotExact(Refusal):
    """Here it can't be told which messages are settled, so that some might be skipped.

    Read at isolation level READ COMMITTED, on the primary server.
    """


class StoreNotInstalled(Refusal):
    """The schema, a function or the table of the message store is missing in this database."""


class Unavailable(MessageStoreError):
    """What a handler needs is away; raise it for the message to be handled when it is back.

    The consumer waits, some seconds at most between two attempts, and calls the handler again until
    it succeeds or fails otherwise. No attempt is counted.
    """


class NotPermitted(Refusal):
    """The role that is logged in lacks a privilege; the message names on what.

    Members of `message_store_reader`, `message_store_writer` and `message_store_consumer` have what
    an application needs.
    """


class SequenceBehind(Refusal):
    """Messages have global positions that the sequence has yet to draw, so nothing can be written.

    It comes of what brings rows without the sequence, such as logical replication.
    """


class TooManyLocks(Refusal):
    """PostgreSQL has no room for the locks of what was written in one transaction.

    It is to too many categories, or, one write at a time, to too many streams; or others need as
    many at the moment.
    """


class UnrecognizedStore(Refusal):
    """The schema can't have a store, or has one that can't be adopted; nothing was changed."""


class DataExists(Refusal):
    """A downgrade would delete messages or what consumers have stored; nothing was changed.

    The message names what is there, and a note how to say that it may be deleted.
    """
