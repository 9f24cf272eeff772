"""Deletes all messages of a store, so that it is as if it were new."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from mdb_sqla.database.execution import WRITES, check_isolation, ddl, execute, qualified
from mdb_sqla.database.lock_timeout import check_wait, lock_timeout
from mdb_sqla.database.refusals import translated
from mdb_sqla.errors import PositionsExist
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages

__all__ = ["clear"]


def clear(connection: Connection, *, reset_consumers: bool = False, wait: float = 10.0) -> None:
    """Delete all messages, and begin anew with global position 1.

    Consumers would skip what is written up to the positions that they have, so those must be reset
    with it: they then begin with the first message that is written, and what they have set aside is
    gone. A consumer that runs meanwhile ends with `SlotLost`.

    Args:
        connection: in a transaction; that of the store's owner.
        reset_consumers: whether to reset the positions of consumers.
        wait: for how many seconds to wait for transactions that read or write.

    Raises:
        PositionsExist: there are consumers that have a position, and `reset_consumers` is
            False; roll back.
        StoreBusy: transactions that read or write have not ended in that time; roll back.
        InvalidArgument: `wait` is not more than 0, or the isolation level is not READ COMMITTED.
        StoreNotInstalled: there is no store in the database.
    """
    check_wait(wait)
    check_isolation(connection, "clear")
    refusal = (
        f"No messages were deleted: for {wait:g} s there was always a transaction open that "
        "had read or written some"
    )
    with lock_timeout(connection, wait, refusal), translated():
        table = qualified(connection, messages.name)
        connection.execute(ddl("TRUNCATE %(table)s RESTART IDENTITY", table=table))
    # Afterwards: a consumer moves its position where it reads and writes messages.
    begun = select(slots.c.consumer).where(slots.c.position > 0).union(select(letters.c.consumer))
    consumers = [row.consumer for row in execute(connection, begun, {}, WRITES)]
    if consumers and not reset_consumers:
        raise PositionsExist(sorted(consumers))
    with translated():
        connection.execute(delete(letters))
        # Another token: whoever has the slot must not save the position that it is at.
        connection.execute(update(slots).values(position=0, token=slots.c.token + 1))
