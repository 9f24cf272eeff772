"""Changes to consumers, from any process: pause and resume, reset, delete."""

from __future__ import annotations

from sqlalchemy import BigInteger, Text, Update, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from mdb_sqla import functions
from mdb_sqla.consumers.group import is_alive
from mdb_sqla.consumers.registry import is_consumer
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.operation_log import record
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers as registrations
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.wake_up.channel import ANY_CATEGORY
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.argument_checks import described, text

__all__ = ["delete_consumer", "pause_consumer", "reset_consumer", "resume_consumer"]


def pause_consumer(db: Database, consumer: str, *, by: str | None = None) -> bool:
    """Pause a consumer in all processes that run it, now and later, until it is resumed.

    The pause takes effect on commit: a running consumer finishes its current transaction, or its
    messages in flight, and then waits. It keeps its slots, and it stays paused when it is
    restarted. Messages that it has not handled are kept by retention. The pause is recorded in the
    log of operations.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        by: who does it, for the consumer's log and the log of operations; by default the database
            role.

    Returns:
        False if it is already paused, which is left unchanged; otherwise True.

    Raises:
        InvalidArgument: the consumer has never run on this store, or an argument is invalid.
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    who = func.session_user() if by is None else text("by", by)
    statement = update(registrations).values(paused_at=func.clock_timestamp(), paused_by=who)
    return _change(
        database(db),
        consumer,
        statement.where(registrations.c.paused_at.is_(None)),
        "pause_consumer",
        by,
    )


def resume_consumer(db: Database, consumer: str, *, by: str | None = None) -> bool:
    """Resume a paused consumer: on commit, it continues at its saved position.

    A consumer that was also paused in its process, by `Consumer.pause` or SIGTSTP, stays paused
    there. It is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        by: who does it, for the log of operations; by default the database role.

    Returns:
        False if it is not paused; otherwise True.

    Raises:
        InvalidArgument: the consumer has never run on this store, or an argument is invalid.
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    if by is not None:
        text("by", by)
    statement = update(registrations).values(paused_at=None, paused_by=None)
    return _change(
        database(db),
        consumer,
        statement.where(registrations.c.paused_at.is_not(None)),
        "resume_consumer",
        by,
    )


def _change(db: Database, consumer: str, statement: Update, kind: str, by: str | None) -> bool:
    """Execute an update of a consumer, and return whether it has changed something."""
    refuse_on_citus(db, Unoffered.CONSUMERS)
    is_it = (registrations.c.consumer == text("consumer", consumer)) & is_consumer()
    changed = statement.where(is_it).returning(registrations.c.consumer)
    if not execute(db, changed, {}, WRITES):
        if not execute(db, select(registrations.c.consumer).where(is_it), {}, WRITES):
            raise InvalidArgument(
                f"There is no consumer {consumer!r}: none with this name has run on this store"
            )
        return False
    record(db, kind, consumer, by=by)
    announce(connection_of(db), [ANY_CATEGORY])
    return True


def reset_consumer(db: Database, consumer: str, start: int = 1, *, by: str | None = None) -> None:
    """Reset a consumer's position: it handles all messages from there on again.

    All of its slots get the new position. Dead letters from there on are deleted, because the
    consumer handles their messages again; earlier dead letters stay, and still block the later
    messages of their streams. The reset takes effect on commit: a running consumer rolls back its
    current transaction and continues at the new position. A paused consumer stays paused, and
    continues there when it is resumed. The reset is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        start: the global position to start at: 1 for all messages; for new messages only, that of
            the last message plus 1.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        InvalidArgument: the consumer has never run on this store, or the position is less than 1 or
            beyond the next global position.
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store.
    """
    if not isinstance(start, int) or isinstance(start, bool) or start < 1:
        raise InvalidArgument(
            f"start must be a global position of at least 1, got {described(start)}"
        )
    refuse_on_citus(db, Unoffered.CONSUMERS)
    ((last,),) = execute(db, select(functions.last_global_position()), {}, WRITES)
    if start > last + 1:
        raise InvalidArgument(
            f"start must be at most {last + 1}, the next global position, got {start}: consumer "
            f"{consumer!r} would skip the messages before it"
        )
    # A slot that was never acquired has no row yet, and would start at the consumer's `start`.
    number = select(func.max(slots.c.slots)).where(slots.c.consumer == consumer).scalar_subquery()
    every = select(func.generate_series(0, number - 1).label("slot")).subquery()
    new = select(
        literal(consumer, Text), every.c.slot, number, literal(start - 1, BigInteger)
    ).order_by(every.c.slot)
    row = insert(slots).from_select(["consumer", "slot", "slots", "position"], new)
    statement = row.on_conflict_do_update(
        index_elements=[slots.c.consumer, slots.c.slot],
        set_={"position": row.excluded.position, "updated_at": func.clock_timestamp()},
    ).returning(slots.c.slot)
    if not execute(db, statement, {}, WRITES):
        raise InvalidArgument(
            f"Consumer {consumer!r} has no position to reset: it has never run on this store"
        )
    delete_letters = delete(letters).where(
        letters.c.consumer == consumer, letters.c.global_position >= start
    )
    execute(db, delete_letters.returning(letters.c.global_position), {}, WRITES)
    record(db, "reset_consumer", consumer, details={"start": start}, by=by)
    announce(connection_of(db), [ANY_CATEGORY])


def delete_consumer(db: Database, consumer: str, *, by: str | None = None) -> None:
    """Delete a retired consumer: its positions, dead letters and registration.

    It no longer holds back retention. If it is started again, it starts as a new consumer. The
    deletion is recorded in the log of operations.

    Args:
        db: a session or connection in a transaction, as the owner of the store or a member of the
            role `message_store`.
        consumer: the consumer's name.
        by: who does it, for the log of operations; by default the database role.

    Raises:
        InvalidArgument: there is no such consumer, or a member of its group is alive.
        NotOffered: the store is distributed with Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    refuse_on_citus(db, Unoffered.CONSUMERS)
    # Locks the slots in the order in which consumers lock them.
    locked = select(slots.c.slot).where(slots.c.consumer == consumer).order_by(slots.c.slot)
    execute(db, locked.with_for_update(), {}, WRITES)
    alive = select(members.c.member).where(members.c.consumer == consumer, is_alive())
    if rows := execute(db, alive.order_by(members.c.member).limit(1), {}, WRITES):
        raise InvalidArgument(
            f"Consumer {consumer!r} is running as member {rows[0].member!r}: stop it first"
        )
    deletions = [
        delete(table).where(table.c.consumer == consumer)
        for table in (slots, members, letters, registrations)
    ]
    deletions[-1] = deletions[-1].where(is_consumer())
    deleted = [execute(db, each.returning(literal(1)), {}, WRITES) for each in deletions]
    if not any(deleted):
        raise InvalidArgument(f"There is no consumer {consumer!r}")
    record(db, "delete_consumer", consumer, by=by)
