from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mdb_sqla.store import writes
from mdb_sqla.store.bulk_load import Load
from mdb_sqla.store.read_methods import MessageReader
from mdb_sqla.words.message import Message, MessagePosition

__all__ = ["MessageStore"]


class MessageStore(MessageReader):
    """Writes and reads messages over a session or connection, in its transaction.

    Every method may raise a `Refusal` of the server. As after any failed statement, the transaction
    must then be rolled back, or rolled back to a savepoint (`with session.begin_nested():`) around
    the call. An `InvalidArgument` is raised before anything is sent, and does not affect the
    transaction.

    Args:
        db: a `Session`, a `scoped_session` or a `Connection`.
    """

    def write(
        self,
        stream_name: str,
        messages: Message | Iterable[Message],
        *,
        expected_version: int | None = None,
        idempotent: bool = True,
    ) -> int:
        """Write one or several messages to a stream atomically.

        It locks the stream, or its category, until the transaction ends, so call it late in the
        transaction; a unit of work does so.

        Args:
            stream_name: the stream.
            messages: the messages, in this order.
            expected_version: the required position of the stream's last message; `NO_STREAM` if the
                stream must not exist; None for any version.
            idempotent: see `write_messages`.

        Returns:
            The position of the last message written: the stream's new version.

        Raises:
            WrongExpectedVersion: the stream is at another version.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON.
            TransactionConflict: retry the whole transaction.
        """
        return writes.write(self._db, stream_name, messages, expected_version, idempotent)

    def write_messages(
        self,
        messages: Iterable[tuple[str, Message]],
        *,
        expected_versions: Mapping[str, int] | None = None,
        idempotent: bool = True,
    ) -> list[MessagePosition]:
        """Write messages to any streams atomically.

        All locks are acquired at once, in the same order by all writers. Fewer than 200 messages
        take one round trip; more, or more than 32 MiB, are written by COPY in a savepoint. If COPY
        can't be used, such as for messages already stored, it takes a round trip per 32 MiB.

        Args:
            messages: pairs of a stream name and a message, written in this order.
            expected_versions: the required position of a stream's last message before anything is
                written, also for streams that are only read; `NO_STREAM` if it must not exist.
            idempotent: whether a message already stored with the same id, stream, type, data and
                metadata is skipped, and its positions returned. If all are, expected versions are
                not checked. With False, a repeated id is an error.

        Returns:
            The positions of each message.

        Raises:
            WrongExpectedVersion: a stream is at another version.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON or too long; or the stream name and the
                correlation are too long for an index.
            InvalidArgument: the messages are not such pairs, or need several round trips on an
                AUTOCOMMIT connection.
            TransactionConflict: retry the whole transaction.
        """
        return writes.write_messages(self._db, messages, expected_versions, idempotent)

    def load(
        self,
        messages: Iterable[tuple[str, Message]],
        *,
        idempotent: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Write any number of messages atomically, in chunks of at most 10,000 or 32 MiB.

        It uses a savepoint: any error, including those of the iterator, rolls back all messages.
        Streams are locked as they appear, so that two such transactions may deadlock.

        Args:
            messages: pairs of a stream name and a message, written in this order.
            idempotent: see `write_messages`.
            progress: called after each chunk with the number of messages written so far.

        Returns:
            The number of messages.

        Raises:
            InvalidArgument: the messages are not such pairs, or the connection is AUTOCOMMIT.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON.
            TransactionConflict: retry the whole transaction.
        """
        load, db = Load(idempotent, progress), self._db
        load.begin(db)
        with db.begin_nested():
            for pair in messages:
                if load.add(pair):
                    load.write(db)
            return load.write(db)
