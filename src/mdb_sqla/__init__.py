"""Event store, message store and transactional outbox for SQLAlchemy and PostgreSQL."""

from mdb_sqla.async_store import AsyncMessageStore
from mdb_sqla.consumer import Consumer
from mdb_sqla.errors import (
    BrokerRefused,
    ConditionNotActivated,
    ConsumersHaveBegun,
    DuplicateMessageId,
    HandlerFailed,
    HttpUnavailable,
    InvalidArgument,
    InvalidConsumerGroup,
    InvalidCorrelation,
    InvalidLine,
    InvalidMessage,
    InvalidSchemaName,
    InvalidStreamName,
    MemberReplaced,
    MessagesExist,
    MessageStoreError,
    NoHandler,
    NoReply,
    NoReplyStream,
    NotACategory,
    NotAStream,
    NotCommitted,
    ReadNotExact,
    Refusal,
    SlotLost,
    StoreBusy,
    StoreNotInstalled,
    TransactionConflict,
    Unavailable,
    UnrecognizedStore,
    WrongExpectedVersion,
)
from mdb_sqla.groups import Group
from mdb_sqla.host import Host
from mdb_sqla.inbox import Inbox
from mdb_sqla.lag import Lag
from mdb_sqla.message import Message, MessagePosition, Metadata, StoredMessage
from mdb_sqla.outbox import PendingWrite, expect_on_commit, write_on_commit
from mdb_sqla.replies import request, request_async, wait_for_reply, wait_for_reply_async
from mdb_sqla.status import ConsumerStatus, HostStatus
from mdb_sqla.store import MessageStore
from mdb_sqla.stream_name import NO_STREAM, StreamName
from mdb_sqla.trying import Retries
from mdb_sqla.unit_of_work import AsyncUnitOfWork, UnitOfWork

__all__ = [
    "NO_STREAM",
    "AsyncMessageStore",
    "AsyncUnitOfWork",
    "BrokerRefused",
    "ConditionNotActivated",
    "Consumer",
    "ConsumerStatus",
    "ConsumersHaveBegun",
    "DuplicateMessageId",
    "Group",
    "HandlerFailed",
    "Host",
    "HostStatus",
    "HttpUnavailable",
    "Inbox",
    "InvalidArgument",
    "InvalidConsumerGroup",
    "InvalidCorrelation",
    "InvalidLine",
    "InvalidMessage",
    "InvalidSchemaName",
    "InvalidStreamName",
    "Lag",
    "MemberReplaced",
    "Message",
    "MessagePosition",
    "MessageStore",
    "MessageStoreError",
    "MessagesExist",
    "Metadata",
    "NoHandler",
    "NoReply",
    "NoReplyStream",
    "NotACategory",
    "NotAStream",
    "NotCommitted",
    "PendingWrite",
    "ReadNotExact",
    "Refusal",
    "Retries",
    "SlotLost",
    "StoreBusy",
    "StoreNotInstalled",
    "StoredMessage",
    "StreamName",
    "TransactionConflict",
    "Unavailable",
    "UnitOfWork",
    "UnrecognizedStore",
    "WrongExpectedVersion",
    "expect_on_commit",
    "request",
    "request_async",
    "wait_for_reply",
    "wait_for_reply_async",
    "write_on_commit",
]
