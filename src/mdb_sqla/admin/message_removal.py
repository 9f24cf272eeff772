"""Removal of all messages from a store."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, check_isolation, ddl, execute, qualified
from mdb_sqla.database.lock_timeout import check_wait, lock_timeout
from mdb_sqla.errors import PositionsExist
from mdb_sqla.operation_log import record
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import deleted_positions, messages, stream_heads

__all__ = ["clear"]


def clear(
    connection: Connection,
    *,
    reset_consumers: bool = False,
    wait: float = 10.0,
    by: str | None = None,
) -> None:
    """Delete all messages; global positions restart at 1, and positions in all streams at 0.

    Consumers would skip new messages up to their old positions, so these must be reset too: the
    consumers then start with the first message, and their dead letters are deleted. Stop the
    consumers first; a running consumer stops with `SlotLost`. The removal is recorded in the log of
    operations.

    Args:
        connection: a connection in a transaction, as the owner of the store.
        reset_consumers: whether to reset the positions of consumers.
        wait: the number of seconds to wait for transactions that read or write messages.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        PositionsExist: consumers have positions, and `reset_consumers` is False; roll back.
        StoreBusy: transactions that read or write did not end in time; roll back.
        InvalidArgument: `wait` is not positive, or the isolation level is not READ COMMITTED.
        NotOffered: the store is distributed with Citus.
        MessagesProtected: the messages are protected; see `set_protection`.
        StoreNotInstalled: the database has no store.
    """
    check_wait(wait)
    check_isolation(connection, "clear")
    refuse_on_citus(connection, Unoffered.CLEARING)
    timeout_message = (
        "No messages were deleted: open transactions that read or write messages did not end "
        f"within {wait:g} s; mdb summary shows those that write"
    )
    with lock_timeout(connection, wait, timeout_message), translated():
        truncate = ", ".join(
            qualified(connection, each.name) for each in (messages, stream_heads, deleted_positions)
        )
        connection.execute(ddl("TRUNCATE %(names)s RESTART IDENTITY", names=truncate))
    # After locking: consumers save positions in transactions that read or write messages.
    started = select(slots.c.consumer).where(slots.c.position > 0).union(select(letters.c.consumer))
    consumers = [row.consumer for row in execute(connection, started, {}, WRITES)]
    if consumers and not reset_consumers:
        raise PositionsExist(sorted(consumers))
    with translated():
        connection.execute(delete(letters))
        # A new token prevents the slot's owner from saving its old position.
        connection.execute(update(slots).values(position=0, token=slots.c.token + 1))
    record(connection, "clear", details={"reset_consumers": bool(reset_consumers)}, by=by)
