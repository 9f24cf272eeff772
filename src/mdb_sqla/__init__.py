"""Event store, message store and transactional outbox for SQLAlchemy and PostgreSQL."""

import typing

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.request_reply import (
    request,
    request_async,
    wait_for_reply,
    wait_for_reply_async,
)
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.errors import (
    AppendConditionFailed,
    ArchiveError,
    BrokerRejected,
    ConditionNotActivated,
    ConsumerAhead,
    ConsumerPaused,
    DataExists,
    DecodingFailed,
    DecryptionFailed,
    DuplicateMessageId,
    EntityErased,
    EventsMissing,
    FoldFailed,
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
    MessagesDeleted,
    MessagesProtected,
    MessageStoreError,
    MetricsUnavailable,
    NoHandler,
    NoReply,
    NoReplyStream,
    NoSubjectKey,
    NotACategory,
    NotAStream,
    NotCommitted,
    NotOffered,
    NotPermitted,
    NotProjected,
    PositionsExist,
    ProjectionFailed,
    ProjectionRefused,
    ReadNotExact,
    Refusal,
    RestoreRefused,
    SequenceBehind,
    SlotLost,
    StoreBusy,
    StoreNotInstalled,
    StoreRewound,
    SubjectForgotten,
    TooManyLocks,
    TransactionConflict,
    Unavailable,
    UndecodableMessage,
    UnknownMessageType,
    UnrecognizedStore,
    WrongExpectedVersion,
)
from mdb_sqla.host.service_host import Host
from mdb_sqla.host.status import ConsumerStatus, HostStatus
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.outbox.write_on_commit import expect_on_commit, write_on_commit
from mdb_sqla.relay.inbox import Inbox
from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.words.message import Message, MessagePosition, Metadata, StoredMessage
from mdb_sqla.words.query import AppendCondition, Query, QueryResult
from mdb_sqla.words.stream_name import NO_STREAM, StreamName

if typing.TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        # Looked up when it is needed: it reads the files of the installed package.
        if name == "__version__":
            from importlib.metadata import version

            return version("mdb_sqla")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NO_STREAM",
    "AppendCondition",
    "AppendConditionFailed",
    "ArchiveError",
    "AsyncMessageStore",
    "AsyncUnitOfWork",
    "BrokerRejected",
    "ConditionNotActivated",
    "Consumer",
    "ConsumerAhead",
    "ConsumerPaused",
    "ConsumerStatus",
    "DataExists",
    "DecodingFailed",
    "DecryptionFailed",
    "DuplicateMessageId",
    "EntityErased",
    "EventsMissing",
    "FoldFailed",
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
    "MessageTypes",
    "MessagesDeleted",
    "MessagesProtected",
    "Metadata",
    "MetricsUnavailable",
    "NoHandler",
    "NoReply",
    "NoReplyStream",
    "NoSubjectKey",
    "NotACategory",
    "NotAStream",
    "NotCommitted",
    "NotOffered",
    "NotPermitted",
    "NotProjected",
    "PendingWrite",
    "PositionsExist",
    "ProjectionFailed",
    "ProjectionRefused",
    "Query",
    "QueryResult",
    "ReadNotExact",
    "Refusal",
    "RestoreRefused",
    "RetryPolicy",
    "SequenceBehind",
    "SlotLost",
    "Standbys",
    "StoreBusy",
    "StoreNotInstalled",
    "StoreRewound",
    "StoredMessage",
    "StreamName",
    "SubjectForgotten",
    "TooManyLocks",
    "TransactionConflict",
    "Unavailable",
    "UndecodableMessage",
    "UnitOfWork",
    "UnknownMessageType",
    "UnrecognizedStore",
    "WrongExpectedVersion",
    "expect_on_commit",
    "request",
    "request_async",
    "wait_for_reply",
    "wait_for_reply_async",
    "write_on_commit",
]
