from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import database
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.store import reads, writes
from mdb_sqla.store.bulk_load import Load
from mdb_sqla.store.pages import Pages, category_pages, message_pages, stream_pages
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import Message, MessagePosition, StoredMessage

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MessageStore"]


class MessageStore:
    """Writes and reads messages over a session or connection, in its transaction.

    Every method may raise a `Refusal` of the server. The transaction is then in the state that any
    failed statement leaves it in: nothing more can be done in it until it is rolled back, or rolled
    back to a savepoint (`with session.begin_nested():`) around the call. An `InvalidArgument` is
    raised before anything is sent, and leaves the transaction as it was.

    Args:
        db: a `Session`, a `scoped_session` or a `Connection`.
    """

    def __init__(self, db: Session | scoped_session[Session] | Connection) -> None:
        if not isinstance(db, Session | scoped_session | Connection):
            raise InvalidArgument(
                f"A MessageStore needs a Session or a Connection: {described(db)}"
            )
        self._given = db

    @property
    def _db(self) -> Session | Connection:
        return database(self._given)

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

    def read_stream(
        self,
        stream_name: str,
        position: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        *,
        condition: str | None = None,
    ) -> list[StoredMessage]:
        """Read messages of a stream from a position on, in order.

        Args:
            stream_name: the stream.
            position: where to start; that position is included.
            batch_size: how many at most; -1 for no limit.
            condition: an SQL expression over the columns of `messages`, where the setting
                `message_store.sql_condition` is `on`.

        Raises:
            NotAStream: the name is a category's.
            ConditionNotActivated: there is a condition, but the setting is not `on`.
        """
        return reads.read_stream(self._db, stream_name, position, batch_size, condition)

    def read_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of a category from a global position on, in order.

        Args:
            category: the category.
            position: the global position to start at; it is included.
            batch_size: how many at most; -1 for no limit.
            filters: see `CategoryFilters`.

        Raises:
            NotACategory: the name is a stream's.
            ReadNotExact: the lock granularity is `stream`, and the isolation level is not READ
                COMMITTED, or the server is a standby.
            InvalidCorrelation: the correlation is a stream's name.
            InvalidConsumerGroup: member or size is missing or out of range.
            ConditionNotActivated: there is a condition, but the setting is not `on`.
        """
        return reads.read_category(
            self._db,
            category,
            position,
            batch_size,
            **filters,
        )

    def read_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> list[StoredMessage]:
        """Read messages of several categories, or of all, from a global position on, in order.

        Args:
            categories: the categories; None for all there are.
            position: the global position to start at; it is included.
            batch_size: how many at most; -1 for no limit.
            filters: see `CategoryFilters`.

        Raises:
            NotACategory: a name is a stream's.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
            InvalidCorrelation: the correlation is a stream's name.
            InvalidConsumerGroup: member or size is missing or out of range.
            ConditionNotActivated: there is a condition, but the setting is not `on`.
        """
        return reads.read_messages(self._db, categories, position, batch_size, **filters)

    def settled_position(self, category: str | None = None) -> int:
        """Return the global position up to which no message can appear any more.

        A read that comes after it in the same transaction goes at least up to there, so that who
        reads with a filter, and finds less than a batch, may go on from there.

        Args:
            category: the category; None for all there are.

        Raises:
            NotACategory: the name is a stream's.
            ReadNotExact: the isolation level is not READ COMMITTED, or the server is a standby.
        """
        return reads.settled_position(self._db, category)

    def iterate_stream(
        self,
        stream_name: str,
        position: int = 0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        *,
        condition: str | None = None,
    ) -> Iterator[StoredMessage]:
        """Iterate over a stream; holds one batch at a time. See `read_stream`."""
        return self._iterate(stream_pages(stream_name, position, batch_size, condition))

    def iterate_category(
        self,
        category: str,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> Iterator[StoredMessage]:
        """Iterate over a category; holds one batch at a time. See `read_category`."""
        return self._iterate(category_pages(category, position, batch_size, filters))

    def iterate_messages(
        self,
        categories: Iterable[str] | None = None,
        position: int = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        **filters: Unpack[CategoryFilters],
    ) -> Iterator[StoredMessage]:
        """Iterate over several categories, or all; holds one batch at a time. See `read_messages`.

        It ends with the message that was settled when it got there.
        """
        return self._iterate(message_pages(categories, position, batch_size, filters))

    def last_message(self, stream_name: str, type: str | None = None) -> StoredMessage | None:  # noqa: A002
        """Return the last message of a stream, or the last of a type in it; None without any."""
        return reads.last_message(self._db, stream_name, type)

    def version(self, stream_name: str) -> int:
        """Return the position of a stream's last message; `NO_STREAM` (-1) where there is none."""
        return reads.version(self._db, stream_name)

    def _iterate(self, pages: Pages) -> Iterator[StoredMessage]:
        while page := pages.next(self._db):
            yield from page
