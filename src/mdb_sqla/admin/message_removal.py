"""Removal of all messages of a store."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, check_isolation, ddl, execute, qualified
from mdb_sqla.database.lock_timeout import check_wait, lock_timeout
from mdb_sqla.errors import PositionsExist
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages

__all__ = ["clear"]


def clear(connection: Connection, *, reset_consumers: bool = False, wait: float = 10.0) -> None:
    """Delete all messages; global positions restart at 1.

    Consumers would skip new messages up to their old positions, so these must be reset too: the
    consumers then start with the first message, and their dead letters are deleted. Stop them
    first; a consumer that is running stops with `SlotLost`.

    Args:
        connection: in a transaction, as the owner of the store.
        reset_consumers: whether to reset the positions of consumers.
        wait: how many seconds to wait for transactions that read or write.

    Raises:
        PositionsExist: consumers have positions, and `reset_consumers` is False; roll back.
        StoreBusy: transactions that read or write have not ended in time; roll back.
        InvalidArgument: `wait` is not greater than 0, or the isolation level is not READ COMMITTED.
        StoreNotInstalled: there is no store in the database.
    """
    check_wait(wait)
    check_isolation(connection, "clear")
    timeout_message = (
        f"No messages were deleted: transactions that read or write messages were open throughout "
        f"{wait:g} s; mdb summary shows writers"
    )
    with lock_timeout(connection, wait, timeout_message), translated():
        table = qualified(connection, messages.name)
        connection.execute(ddl("TRUNCATE %(table)s RESTART IDENTITY", table=table))
    # After taking the lock: consumers save positions in transactions that read or write messages.
    started = select(slots.c.consumer).where(slots.c.position > 0).union(select(letters.c.consumer))
    consumers = [row.consumer for row in execute(connection, started, {}, WRITES)]
    if consumers and not reset_consumers:
        raise PositionsExist(sorted(consumers))
    with translated():
        connection.execute(delete(letters))
        # A new token, so that the slot's owner can't save its old position.
        connection.execute(update(slots).values(position=0, token=slots.c.token + 1))
