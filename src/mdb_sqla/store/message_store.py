from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mdb_sqla.store import writes
from mdb_sqla.store.bulk_load import Load
from mdb_sqla.store.read_methods import MessageReader
from mdb_sqla.words.message import Message, MessagePosition

__all__ = ["MessageStore"]


class MessageStore(MessageReader):
    """Writes and reads messages over a session or connection, in its transaction.

    Every method may raise a `Refusal` of the server. The transaction is then in the state that any
    failed statement leaves it in: nothing more can be done in it until it is rolled back, or rolled
    back to a savepoint (`with session.begin_nested():`) around the call. An `InvalidArgument` is
    raised before anything is sent, and leaves the transaction as it was.

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
        """Write one message or several to a stream, all or none.

        It locks the stream, or its category, until the transaction ends, so it belongs near the
        end; a unit of work takes care of that.

        Args:
            stream_name: the stream.
            messages: what to write, in this order.
            expected_version: the position that the stream's last message must have; `NO_STREAM` for
                a stream that must not exist yet; None for any.
            idempotent: see `write_messages`.

        Returns:
            The position of the last message written: the stream's new version.

        Raises:
            WrongExpectedVersion: the stream is at another version.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON.
            TransactionConflict: run the whole transaction again.
        """
        return writes.write(self._db, stream_name, messages, expected_version, idempotent)

    def write_messages(
        self,
        messages: Iterable[tuple[str, Message]],
        *,
        expected_versions: Mapping[str, int] | None = None,
        idempotent: bool = True,
    ) -> list[MessagePosition]:
        """Write messages to any streams, all or none.

        All locks are taken at once, in one order for all writers. Up to some hundred messages are
        one round trip; more, and more than 32 MiB, are copied, for which a savepoint is set. Where
        COPY does not serve, as for messages that are stored already, 32 MiB are a round trip.

        Args:
            messages: pairs of a stream name and a message, written in this order.
            expected_versions: the position that the last message of a stream must have before
                anything is written, also of streams that are only read; `NO_STREAM` for one that
                must not exist.
            idempotent: a message that is stored already, with the same id, stream, type, data and
                metadata, is not written again, and its positions are returned. If all of them are,
                the expected versions don't matter. With False, a repeated id is an error.

        Returns:
            The positions of each message.

        Raises:
            WrongExpectedVersion: a stream is at another version.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON, or more than PostgreSQL takes; or an index
                has no room for the stream name and the correlation.
            InvalidArgument: what is handed in are no such pairs, or there are several round trips
                to make, and the connection is AUTOCOMMIT.
            TransactionConflict: run the whole transaction again.
        """
        return writes.write_messages(self._db, messages, expected_versions, idempotent)

    def load(
        self,
        messages: Iterable[tuple[str, Message]],
        *,
        idempotent: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Write any number of messages, all or none; holds ten thousand or 32 MiB at a time.

        It is done in a savepoint: an error, of the iterator too, takes back what was written. The
        streams are locked as they turn up, so that two such transactions may deadlock.

        Args:
            messages: pairs of a stream name and a message, written in this order.
            idempotent: see `write_messages`.
            progress: is told, again and again, how many messages have been written so far.

        Returns:
            The number of messages.

        Raises:
            InvalidArgument: what is handed in are no such pairs, or the connection is AUTOCOMMIT.
            DuplicateMessageId: another message has the same id.
            InvalidMessage: data or metadata is not JSON.
            TransactionConflict: run the whole transaction again.
        """
        load, db = Load(idempotent, progress), self._db
        load.begin(db)
        with db.begin_nested():
            for pair in messages:
                if load.add(pair):
                    load.write(db)
            return load.write(db)
