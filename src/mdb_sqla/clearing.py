"""Deletes all messages of a store, so that it is as if it were new."""

from __future__ import annotations

from sqlalchemy import DDL, Connection, Executable, delete, func, select, update
from sqlalchemy.exc import OperationalError

from mdb_sqla.errors import ConsumersHaveBegun, InvalidArgument, StoreBusy
from mdb_sqla.execution import WRITES, execute, is_autocommit, qualified
from mdb_sqla.refusals import translated
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages

__all__ = ["clear"]

_LOCK_NOT_AVAILABLE = "55P03"


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
        ConsumersHaveBegun: there are consumers that have a position, and `reset_consumers` is
            False; roll back.
        StoreBusy: transactions that read or write have not ended in that time; roll back.
        InvalidArgument: `wait` is not more than 0, or the connection is AUTOCOMMIT.
        StoreNotInstalled: there is no store in the database.
    """
    if not wait > 0:
        raise InvalidArgument(f"wait must be more than 0 seconds: {wait!r}")
    if is_autocommit(connection):
        raise InvalidArgument("clear needs a transaction; the connection is AUTOCOMMIT")
    # At least a millisecond: 0 would be for ever.
    timeout = func.set_config("lock_timeout", f"{max(1, round(1000 * wait))}ms", True)
    execute(connection, select(timeout), {}, WRITES)
    try:
        with translated():
            connection.execute(_truncate(qualified(connection, messages.name)))
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise StoreBusy(
            f"No messages were deleted: for {wait:g} s there was always a transaction open that "
            "had read or written some"
        ) from error
    # Afterwards: a consumer moves its position where it reads and writes messages.
    begun = select(slots.c.consumer).where(slots.c.position > 0).union(select(letters.c.consumer))
    consumers = [row.consumer for row in execute(connection, begun, {}, WRITES)]
    if consumers and not reset_consumers:
        raise ConsumersHaveBegun(sorted(consumers))
    with translated():
        connection.execute(delete(letters))
        # Another token: whoever has the slot must not save the position that it is at.
        connection.execute(update(slots).values(position=0, token=slots.c.token + 1))


def _truncate(table: str) -> Executable:
    statement: Executable = DDL(  # type: ignore[no-untyped-call]
        "TRUNCATE %(table)s RESTART IDENTITY", context={"table": table}
    )
    return statement
