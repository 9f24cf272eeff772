from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeVar

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.runners import AsyncRunner, Runner
from mdb_sqla.consumers.settings import OnFailure
from mdb_sqla.database.execution import Database
from mdb_sqla.projections.consumer_batch import consumer_of
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.live_fold import fold_messages, live_row
from mdb_sqla.projections.position_wait import wait_until_applied
from mdb_sqla.projections.row_keys import Key
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.words.message import StoredMessage

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

__all__ = ["Projection"]

_R = TypeVar("_R")

_TIMEOUT = 10.0  # seconds
_BATCH_SIZE = 1000  # messages, each batch in one transaction


class Projection(ProjectionDefinition[_R]):
    """Rows of a table that are folded from messages.

    The definition is the same however the rows are maintained: by a consumer (`consumer`), by the
    transactions that write the messages (`attach` and `make_inline`), or not at all, if they are
    computed when they are needed (`live`).

        totals = Projection("order_totals", "order", row=OrderTotal, types=types)

        @totals.on(Placed)
        def placed(row: OrderTotal | None, event: Placed, message: StoredMessage) -> OrderTotal:
            return OrderTotal(order=StreamName(message.stream_name).id, total=event.total)

    Args:
        name: the projection's name. Its consumer is called `<name>:v<version>`.
        categories: the categories of the messages.
        row: the class of the rows: a mapped class, or a dataclass. Its fields are the columns of
            the table; columns that it lacks must be nullable or have a server default.
        table: the table of a dataclass, or a class that is mapped to the table. It needs a primary
            key, and nothing but the projection may write to it.
        key: a function that returns the primary key of the row that a message concerns, a list of
            them, or None for none: `key(event, message)`, or `key(message)` without `types`. A key
            of several columns is a tuple. By default, the key is the id of the message's stream.
        types: the message types. With them, handlers are registered for classes.
        version: the version of the definition. Increase it when the handlers or columns change,
            and fill the table again with `rebuild`.

    Raises:
        InvalidArgument: an argument is invalid, the table has no primary key, or the fields of the
            class are not its columns.
    """

    def fold(self, messages: Iterable[StoredMessage]) -> dict[Key, _R]:
        """Return the rows that messages add up to, by key. They must be in order.

        Raises:
            ProjectionFailed: a message can't be applied.
        """
        return fold_messages(self, messages)

    def live(self, db: Database, key: Key) -> _R | None:
        """Return a row as folded from the messages in the store now, without the table.

        If the key of the row is the id of the stream, only the streams with this id are read; with
        a key function, all messages of the categories.

        Args:
            db: a session or connection. With an `AsyncSession`, call
                `await session.run_sync(totals.live, key)`.
            key: the primary key of the row.

        Raises:
            NotOffered: the store is distributed with Citus.
            ProjectionFailed: a message can't be applied.
            ProjectionRefused: a retention policy has deleted messages that the row depends on.
        """
        return live_row(self, db, key)

    def consumer(
        self,
        *,
        start: int | Literal["earliest"] = 1,
        batch_size: int = _BATCH_SIZE,
        group: Group | None = None,
        retry_policy: RetryPolicy | None = None,
        on_failure: OnFailure = "stop",
        poll_interval: tuple[float, float] = (0.02, 1.0),
        read_from: Standbys | None = None,
    ) -> Consumer:
        """Return a consumer that maintains the rows of this version. See `Consumer`.

        Each batch is one transaction, in which its rows are read and written with one statement
        each. If a message of a batch fails, and failed messages are dead-lettered, each message is
        handled in its own transaction.

        Args:
            start: the global position to start at on the first run. Unless it is 1, the table may
                have rows, which must be the fold of all messages before.
            batch_size: the maximum number of messages of a batch.
            group: the consumer group. With a key function, it can have only one slot, because the
                order of messages is defined only within a slot.
            retry_policy: see `Consumer`.
            on_failure: see `Consumer`.
            poll_interval: see `Consumer`.
            read_from: see `Consumer`.

        Raises:
            InvalidArgument: an argument is invalid, the projection has no handlers, or the group
                has several slots and the projection a key function.
        """
        return consumer_of(
            self,
            start=start,
            batch_size=batch_size,
            group=group,
            retry_policy=retry_policy,
            on_failure=on_failure,
            poll_interval=poll_interval,
            read_from=read_from,
        )

    def wait_for(
        self, factory: sessionmaker[Session], position: int, timeout: float = _TIMEOUT
    ) -> None:
        """Wait until the consumer has applied all committed messages up to a global position.

        Pass the global position of a message that you have just written, to read the rows that it
        has changed. Messages of other categories and types are not waited for. If the projection is
        maintained inline, this returns at once.

        Args:
            factory: creates a session for each look at the consumer's positions.
            position: the global position, such as `pending.positions[-1].global_position`.
            timeout: the timeout in seconds.

        Raises:
            NotOffered: the store is distributed with Citus.
            NotProjected: the messages were not applied before the timeout.
            ProjectionRefused: the message at this position is a dead letter, or another version is
                the current one.
            InvalidArgument: an argument is invalid.
        """
        runner = Runner(factory)
        runner.run(wait_until_applied(runner, self, position, timeout))

    async def wait_for_async(
        self, factory: async_sessionmaker[AsyncSession], position: int, timeout: float = _TIMEOUT
    ) -> None:
        """Wait in a task. See `wait_for`."""
        runner = AsyncRunner(factory)
        await runner.run(wait_until_applied(runner, self, position, timeout))
