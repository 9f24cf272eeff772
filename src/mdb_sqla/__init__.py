"""Event store, message store and transactional outbox for SQLAlchemy and PostgreSQL."""

from mdb_sqla.errors import (
    ConditionNotActivated,
    DuplicateMessageId,
    InvalidArgument,
    InvalidConsumerGroup,
    InvalidCorrelation,
    InvalidMessage,
    InvalidSchemaName,
    InvalidStreamName,
    MessagesExist,
    MessageStoreError,
    NoReplyStream,
    NotACategory,
    NotAStream,
    NotCommitted,
    Refusal,
    StoreNotInstalled,
    TransactionConflict,
    UnrecognizedStore,
    WrongExpectedVersion,
)
from mdb_sqla.message import Message, Metadata, StoredMessage
from mdb_sqla.outbox import PendingWrite, write_on_commit
from mdb_sqla.store import AsyncMessageStore, MessageStore
from mdb_sqla.stream_name import NO_STREAM, StreamName
from mdb_sqla.unit_of_work import AsyncUnitOfWork, UnitOfWork

__all__ = [
    "NO_STREAM",
    "AsyncMessageStore",
    "AsyncUnitOfWork",
    "ConditionNotActivated",
    "DuplicateMessageId",
    "InvalidArgument",
    "InvalidConsumerGroup",
    "InvalidCorrelation",
    "InvalidMessage",
    "InvalidSchemaName",
    "InvalidStreamName",
    "Message",
    "MessageStore",
    "MessageStoreError",
    "MessagesExist",
    "Metadata",
    "NoReplyStream",
    "NotACategory",
    "NotAStream",
    "NotCommitted",
    "PendingWrite",
    "Refusal",
    "StoreNotInstalled",
    "StoredMessage",
    "StreamName",
    "TransactionConflict",
    "UnitOfWork",
    "UnrecognizedStore",
    "WrongExpectedVersion",
    "write_on_commit",
]
