"""Errors of the server, and of the state of a store."""

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
    """The position of a message was read before its transaction was committed."""

    def __init__(self, stream_name: str) -> None:
        super().__init__(
            f"The position in stream {stream_name} is not known until the transaction is committed"
        )


class StoreBusy(MessageStoreError):
    """Other transactions blocked a change; nothing was changed."""


class StoreRewound(MessageStoreError):
    """The last message read no longer exists, so that continuing could skip messages.

    The store was cleared, restored from a backup, or replaced by a standby that lacked the latest
    transactions; or it is another store, or the message was deleted.

    Attributes:
        global_position: the global position of the last message read.
        id: its id.
    """

    def __init__(self, global_position: int, id: UUID) -> None:  # noqa: A002
        super().__init__(
            f"Message {id}, which was read at global position {global_position}, no longer exists: "
            "the store was cleared, restored or replaced"
        )
        self.global_position = global_position
        self.id = id


class Refusal(MessageStoreError):
    """The server rejected a call; the transaction is as after any failed statement."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.__dict__.update(values)


class WrongExpectedVersion(Refusal):
    """The stream's version is not the expected one, so nothing was written.

    Attributes:
        stream_name: the stream.
        expected_version: the version that the writer expected; `NO_STREAM` (-1) for no stream.
        stream_version: the stream's version; `NO_STREAM` (-1) if there is no stream.
    """

    stream_name: str
    expected_version: int
    stream_version: int


class NotAStream(Refusal):
    """The name of a category where a stream name is required.

    Attributes:
        stream_name: the name.
    """

    stream_name: str


class NotACategory(Refusal):
    """The name of a stream where a category is required.

    Attributes:
        category: the name.
    """

    category: str


class InvalidCorrelation(Refusal):
    """The name of a stream as correlation, where a category is required.

    Attributes:
        correlation: the name.
    """

    correlation: str


class InvalidConsumerGroup(Refusal):
    """A consumer group's member or size is missing or out of range.

    Attributes:
        member: the member, from 0; None if missing.
        size: the number of members; None if missing.
    """

    member: int | None
    size: int | None


class ConditionNotActivated(Refusal):
    """A condition was given but the setting `message_store.sql_condition` is not `on`."""


class DuplicateMessageId(Refusal):
    """Another message has the same id, so nothing was written.

    With `idempotent`, it has another stream, type, data or metadata.

    Attributes:
        id: the id; None if row-level security hides it.
    """

    id: str | None


class TransactionConflict(Refusal):
    """A conflict with a concurrent transaction: retry the whole transaction.

    Attributes:
        sqlstate: 40001 for a serialization failure, 40P01 for a deadlock.
    """

    sqlstate: str


class ReadNotExact(Refusal):
    """The read could skip messages; read at isolation level READ COMMITTED, on the primary."""


class StoreNotInstalled(Refusal):
    """The message store's schema, table or a function is missing in this database."""


class NotPermitted(Refusal):
    """The current role lacks a privilege; the message names the object.

    The roles `message_store_reader`, `message_store_writer` and `message_store_consumer` have the
    privileges that applications need.
    """


class SequenceBehind(Refusal):
    """The sequence is behind the messages' global positions, so that writes fail.

    It happens when rows are inserted without the sequence, such as by logical replication.
    """


class TooManyLocks(Refusal):
    """PostgreSQL's lock table is full.

    One transaction writes to too many categories, or to too many streams in separate writes; or
    other transactions hold too many locks.
    """


class UnrecognizedStore(Refusal):
    """The schema can't hold a store, or has one that can't be adopted; nothing was changed."""


class DataExists(Refusal):
    """A downgrade would delete messages or consumers' state; nothing was changed.

    The message names what would be deleted, and a note how to allow it.
    """
