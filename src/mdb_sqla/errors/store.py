"""Errors reported by the server, and errors about the state of a store."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from mdb_sqla.errors.base import MessageStoreError

__all__ = [
    "AppendConditionFailed",
    "ArchiveError",
    "ConditionNotActivated",
    "DataExists",
    "DuplicateMessageId",
    "InvalidConsumerGroup",
    "InvalidCorrelation",
    "MessagesProtected",
    "NotACategory",
    "NotAStream",
    "NotCommitted",
    "NotOffered",
    "NotPermitted",
    "ReadNotExact",
    "Refusal",
    "RestoreRefused",
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
    """The position of a pending message was requested before the transaction was committed."""

    def __init__(self, stream_name: str) -> None:
        super().__init__(
            f"The position in stream {stream_name} is not known until the transaction is committed"
        )


class StoreBusy(MessageStoreError):
    """Concurrent transactions blocked an administrative change. Nothing was changed."""


class ArchiveError(MessageStoreError):
    """An archive can't be read or written, or one of its files is damaged.

    Messages that could not be archived were not deleted; messages of an archive with a damaged file
    were not restored.
    """


class StoreRewound(MessageStoreError):
    """The last message read no longer exists, so continuing could skip messages.

    The store was cleared, restored from a backup, or replaced by a standby that lacked the latest
    transactions. Or this is a different store, or the message was deleted.

    Attributes:
        global_position: the global position of the last message read.
        id: the id of the last message read.
    """

    def __init__(self, global_position: int, id: UUID) -> None:  # noqa: A002
        super().__init__(
            f"Message {id}, which was read at global position {global_position}, no longer exists: "
            "the store was cleared, restored or replaced"
        )
        self.global_position = global_position
        self.id = id


class Refusal(MessageStoreError):
    """The server rejected a call. Roll back the transaction, or to a savepoint."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.__dict__.update(values)


class WrongExpectedVersion(Refusal):
    """Optimistic concurrency conflict: the stream is not at the expected version.

    Nothing was written. Your decision used stale state: reload it and decide again.

    Attributes:
        stream_name: the stream.
        expected_version: the version that the writer expected; `NO_STREAM` (-1) for no stream.
        stream_version: the actual version; `NO_STREAM` (-1) if the stream does not exist.
    """

    stream_name: str
    expected_version: int
    stream_version: int


class AppendConditionFailed(Refusal):
    """A message matches the query of an append condition after what the decision has seen.

    Nothing was written. Your decision used stale state: read again and decide again, in a new
    transaction.

    Attributes:
        global_position: the global position of the first such message; None if the store has not
            reached the position of the condition, which was read in another store, or in this one
            before it was cleared, restored or replaced.
        after: the position of the condition.
    """

    global_position: int | None
    after: int


class NotAStream(Refusal):
    """A category name was passed where a stream name is required.

    Attributes:
        stream_name: the name.
    """

    stream_name: str


class NotACategory(Refusal):
    """A stream name was passed where a category is required.

    Attributes:
        category: the name.
    """

    category: str


class InvalidCorrelation(Refusal):
    """A stream name was passed as the correlation, which must be a category.

    Attributes:
        correlation: the name.
    """

    correlation: str


class InvalidConsumerGroup(Refusal):
    """The member or the size of a consumer group is missing or out of range.

    Attributes:
        member: the member, from 0; None if missing.
        size: the number of members; None if missing.
    """

    member: int | None
    size: int | None


class ConditionNotActivated(Refusal):
    """A condition was passed, but the setting `message_store.sql_condition` is not `on`."""


class DuplicateMessageId(Refusal):
    """A message with the same id is already stored. Nothing was written.

    With `idempotent`, the stored message differs in stream, type, data or metadata.

    Attributes:
        id: the id; None if row-level security hides it.
    """

    id: str | None


class TransactionConflict(Refusal):
    """The transaction conflicts with a concurrent one: retry the whole transaction.

    Attributes:
        sqlstate: 40001 for a serialization failure, 40P01 for a deadlock.
    """

    sqlstate: str


class ReadNotExact(Refusal):
    """The read could skip messages: use isolation level READ COMMITTED, on the primary.

    The same holds for the check of an append condition.
    """


class MessagesProtected(Refusal):
    """UPDATE, DELETE or TRUNCATE of messages while they are protected. Nothing was changed.

    Turn the protection off with `mdb protect off`, or with `mdb_sqla.admin.set_protection`.
    """


class RestoreRefused(Refusal):
    """Archived messages do not fit the store. Nothing was restored.

    The store has other messages at their positions, has not deleted them, or messages between them
    and what is left of their streams are missing from the archive.
    """


class StoreNotInstalled(Refusal):
    """The message store's schema, a table or a function is missing from this database."""


class NotOffered(Refusal):
    """A store on Citus does not offer this; the error message says why. Nothing was changed."""


class NotPermitted(Refusal):
    """The current role lacks a privilege. The error message names the object.

    The roles `message_store_reader`, `message_store_writer` and `message_store_consumer` have the
    privileges that applications need.
    """


class SequenceBehind(Refusal):
    """The sequence of global positions is behind the stored messages, so writes fail.

    This happens when rows are inserted without the sequence, for example by logical replication.
    """


class TooManyLocks(Refusal):
    """PostgreSQL's lock table is full.

    Either one transaction writes to too many categories, or to too many streams in separate writes,
    or other transactions hold too many locks.
    """


class UnrecognizedStore(Refusal):
    """The schema can't hold a store, or has one that can't be adopted. Nothing was changed."""


class DataExists(Refusal):
    """A downgrade would delete messages, keys, or state of consumers or retention.

    Nothing was changed.

    The error message lists what would be deleted; its note explains how to allow it.
    """
