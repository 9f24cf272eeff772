"""What the server refuses, and the state of a store that does not allow what was asked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mdb_sqla.errors.base import MessageStoreError

__all__ = [
    "ConditionNotActivated",
    "DataExists",
    "DuplicateMessageId",
    "InvalidConsumerGroup",
    "InvalidCorrelation",
    "NotACategory",
    "NotAStream",
    "NotCommitted",
    "NotPermitted",
    "ReadNotExact",
    "Refusal",
    "SequenceBehind",
    "StoreBusy",
    "StoreNotInstalled",
    "StoreRewound",
    "TooManyLocks",
    "TransactionConflict",
    "UnrecognizedStore",
    "WrongExpectedVersion",
]


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
