from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store import writes
from mdb_sqla.store.bulk_load import Load
from mdb_sqla.store.read_methods import MessageReader
from mdb_sqla.store.write_arguments import WriteOptions
from mdb_sqla.words.message import Message, MessagePosition
from mdb_sqla.words.query import AppendCondition

__all__ = ["MessageStore"]


class MessageStore(MessageReader):
    """Writes and reads messages in the transaction of a session or connection.

    Every method can raise a `Refusal` if the server rejects the call. As after any failed
    statement, roll back the transaction, or to a savepoint (`with session.begin_nested():`) around
    the call. `InvalidArgument` is raised before anything reaches the server, and does not affect
    the transaction.

    Args:
        db: a `Session`, a `scoped_session` or a `Connection`.
        types: the message types. With them, the methods that write accept instances of these
            classes as messages.

    Raises:
        InvalidArgument: `db` is none of these.
    """

    def __init__(
        self,
        db: Session | scoped_session[Session] | Connection,
        *,
        types: MessageTypes | None = None,
    ) -> None:
        super().__init__(db)
        self._types = types

    def write(
        self,
        stream_name: str,
        messages: Message | Iterable[Message] | Any,
        *,
        expected_version: int | None = None,
        tags: Iterable[str] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
        idempotent: bool = True,
    ) -> int:
        """Write one or more messages to a stream, all or none.

        The stream, or its category, stays locked until the transaction ends, so write late in the
        transaction; a unit of work does this for you.

        Args:
            stream_name: the stream.
            messages: the messages, in this order.
            expected_version: for optimistic concurrency, the required position of the stream's last
                message; `NO_STREAM` if the stream must not exist; None for any version.
            tags: tags of all messages, in addition to those in their metadata.
            unless: see `write_messages`.
            idempotent: see `write_messages`.

        Returns:
            The position of the last message written: the stream's new version.

        Raises:
            WrongExpectedVersion: the stream is at another version.
            AppendConditionFailed: a message matches the query of a condition.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON.
            TransactionConflict: retry the whole transaction.
        """
        options = WriteOptions(expected_version, tags, unless, self._types)
        return writes.write(self._db, stream_name, messages, options, idempotent)

    def write_messages(
        self,
        messages: Iterable[tuple[str, Message | Any]],
        *,
        expected_versions: Mapping[str, int] | None = None,
        unless: AppendCondition | Iterable[AppendCondition] | None = None,
        idempotent: bool = True,
    ) -> list[MessagePosition]:
        """Write messages to any number of streams, all or none.

        All locks are acquired up front, in the same order by all writers. Fewer than 200 messages
        take one round trip; 200 or more, or more than 32 MiB, are written with COPY in a savepoint.
        If COPY can't be used, for example because messages are already stored, they take one round
        trip per 32 MiB.

        Args:
            messages: pairs of a stream name and a message, written in this order.
            expected_versions: for optimistic concurrency, the required position of a stream's last
                message before anything is written; `NO_STREAM` if the stream must not exist. Can
                include streams that you only read.
            unless: append conditions, such as `query.after(result)`. Nothing is written if another
                message matches the query after the position, including those that this transaction
                has already written. The categories of the query are locked until the transaction
                ends.
            idempotent: whether to skip messages that are already stored with the same id, stream,
                type, data and metadata, and return their stored positions. If all are stored,
                neither expected versions nor conditions are checked. If False, a repeated id is an
                error.

        Returns:
            The position of each message.

        Raises:
            WrongExpectedVersion: a stream is at another version.
            AppendConditionFailed: a message matches the query of a condition.
            ReadNotExact: there is a condition, and the isolation level is not READ COMMITTED.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON or is too long, or the stream name and the
                correlation are too long for an index.
            InvalidArgument: an element is not such a pair, or the messages need several round trips
                on an AUTOCOMMIT connection.
            TransactionConflict: retry the whole transaction.
        """
        return writes.write_messages(
            self._db, messages, expected_versions, unless, idempotent, self._types
        )

    def load(
        self,
        messages: Iterable[tuple[str, Message | Any]],
        *,
        idempotent: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Write any number of messages, all or none, in chunks of at most 10,000 or 32 MiB.

        Uses a savepoint: any error, including one of the iterator, rolls back all messages. Streams
        are locked in the order of the messages, so two such transactions can deadlock.

        Args:
            messages: pairs of a stream name and a message, written in this order.
            idempotent: see `write_messages`.
            progress: called after each chunk with the number of messages written so far.

        Returns:
            The number of messages.

        Raises:
            InvalidArgument: an element is not such a pair, or the connection is AUTOCOMMIT.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON.
            TransactionConflict: retry the whole transaction.
        """
        load, db = Load(idempotent, progress, self._types), self._db
        load.begin(db)
        with db.begin_nested():
            for pair in messages:
                if load.add(pair):
                    load.write(db)
            return load.write(db)
