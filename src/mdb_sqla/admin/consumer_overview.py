"""The consumers of a store: what they read, position, lag and members; reset and deletion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Text, and_, delete, func, literal, select, union
from sqlalchemy.dialects.postgresql import insert

from mdb_sqla import functions
from mdb_sqla.consumers.consumer_lag import Lag, lag
from mdb_sqla.consumers.dead_letter_queue import count_dead_letters
from mdb_sqla.consumers.deleted_messages import deleted_up_to
from mdb_sqla.consumers.registry import Reads, registered
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers as registrations
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.wake_up.channel import ANY_CATEGORY
from mdb_sqla.wake_up.notifier import announce
from mdb_sqla.words.argument_checks import described

__all__ = [
    "ConsumerOverview",
    "Member",
    "Slot",
    "consumers",
    "delete_consumer",
    "reset_consumer",
]


class Slot(NamedTuple):
    """A partition of a consumer's work; a consumer without a group has only slot 0.

    Attributes:
        slot: the number of the slot.
        position: the global position up to which all messages are handled.
        owner: the group member that holds the slot; None without a group, or if the slot is free.
        updated_at: when the position was last saved, or the slot was last acquired.
    """

    slot: int
    position: int
    owner: str | None
    updated_at: datetime


@dataclass(frozen=True)
class Member:
    """A member of a group.

    Attributes:
        name: the member's name.
        is_alive: whether the member's lease is valid.
        slots: the slots that it holds; for a dead member, those not taken over yet.
    """

    name: str
    is_alive: bool
    slots: tuple[int, ...]


@dataclass(frozen=True)
class ConsumerOverview:
    """A consumer that is running or has run.

    Attributes:
        name: the consumer's name.
        reads: what it reads, as of its last start; None if it has never started.
        lag: its lag; None if `reads` is None. The consumer's condition is ignored, so the actual
            lag may be lower.
        slots: its slots, with their positions.
        members: the current members of its group, by name.
        dead_letters: the number of its dead letters.
        deleted_up_to: the global position up to which a retention policy has deleted messages of
            its categories; 0 if none were deleted, or if `reads` is None.
    """

    name: str
    reads: Reads | None
    lag: Lag | None
    slots: tuple[Slot, ...]
    members: tuple[Member, ...]
    dead_letters: int
    deleted_up_to: int

    @property
    def has_missed_messages(self) -> bool:
        """Whether messages that it has not handled were deleted.

        It stops with `MessagesDeleted` when it reads, unless it starts at `"earliest"`.
        """
        start = 0 if self.reads is None else max(self.reads.start - 1, 0)
        return min((slot.position for slot in self.slots), default=start) < self.deleted_up_to


def consumers(db: Database) -> list[ConsumerOverview]:
    """Return an overview of all consumers, ordered by name.

    Args:
        db: a session or connection in a transaction, which is left unchanged.

    Raises:
        OperationalError: a lag could not be computed within five seconds.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    reads = registered(db)
    names = union(*(select(table.c.consumer) for table in (registrations, slots, members, letters)))
    found = sorted(row.consumer for row in execute(db, names, {}, WRITES))
    return [_overview(db, name, reads.get(name)) for name in found]


def reset_consumer(db: Database, consumer: str, start: int = 1) -> None:
    """Reset a consumer's position: it handles all messages from there on again.

    All of its slots get the new position. Dead letters from there on are deleted, because the
    consumer handles their messages again; earlier dead letters stay, and still block the later
    messages of their streams. The reset takes effect on commit: a running consumer rolls back its
    current transaction and continues at the new position.

    Args:
        db: a session or connection in a transaction.
        consumer: the consumer's name.
        start: the global position to start at: 1 for all messages; for new messages only, that of
            the last message plus 1.

    Raises:
        InvalidArgument: the consumer has never run on this store, or the position is less than 1 or
            beyond the next global position.
        StoreNotInstalled: the database has no store.
    """
    if not isinstance(start, int) or isinstance(start, bool) or start < 1:
        raise InvalidArgument(
            f"start must be a global position of at least 1, got {described(start)}"
        )
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
    announce(connection_of(db), [ANY_CATEGORY])


def delete_consumer(db: Database, consumer: str) -> None:
    """Delete a retired consumer: its positions, dead letters and registration.

    It no longer holds back retention. If it is started again, it starts as a new consumer.

    Args:
        db: a session or connection in a transaction, as the owner of the store or a member of the
            role `message_store`.
        consumer: the consumer's name.

    Raises:
        InvalidArgument: there is no such consumer, or a member of its group is alive.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    now = func.clock_timestamp()
    # Locks the slots in the order in which consumers lock them.
    locked = select(slots.c.slot).where(slots.c.consumer == consumer).order_by(slots.c.slot)
    execute(db, locked.with_for_update(), {}, WRITES)
    alive = select(members.c.member).where(
        members.c.consumer == consumer,
        members.c.alive_until > now,
        members.c.alive_until <= now + members.c.lease,
    )
    if rows := execute(db, alive.order_by(members.c.member).limit(1), {}, WRITES):
        raise InvalidArgument(
            f"Consumer {consumer!r} is running as member {rows[0].member!r}: stop it first"
        )
    deleted = [
        execute(
            db, delete(table).where(table.c.consumer == consumer).returning(literal(1)), {}, WRITES
        )
        for table in (slots, members, letters, registrations)
    ]
    if not any(deleted):
        raise InvalidArgument(f"There is no consumer {consumer!r}")


def _overview(db: Database, name: str, reads: Reads | None) -> ConsumerOverview:
    columns = select(slots.c.slot, slots.c.position, slots.c.owner, slots.c.updated_at)
    of_consumer = columns.where(slots.c.consumer == name).order_by(slots.c.slot)
    of_slots = tuple(Slot._make(row) for row in execute(db, of_consumer, {}, WRITES))
    now = func.clock_timestamp()
    # If a lease ends later than its duration allows, the clock was set back after the heartbeat.
    is_alive = and_(members.c.alive_until > now, members.c.alive_until <= now + members.c.lease)
    statement = select(members.c.member, is_alive.label("is_alive")).where(
        members.c.consumer == name
    )
    of_members = tuple(
        Member(row.member, row.is_alive, tuple(s.slot for s in of_slots if s.owner == row.member))
        for row in execute(db, statement.order_by(members.c.member), {}, WRITES)
    )
    dead_letters = count_dead_letters(db, name)
    deleted = 0
    if reads is not None:
        parameters = {"read_categories": reads.categories}
        deleted = execute(db, select(deleted_up_to()), parameters, WRITES)[0][0]
    return ConsumerOverview(
        name, reads, _lag(db, name, reads), of_slots, of_members, dead_letters, deleted
    )


def _lag(db: Database, name: str, reads: Reads | None) -> Lag | None:
    if reads is None:
        return None
    # Without the condition: its SQL comes from roles that may have fewer privileges than this one.
    return lag(
        db,
        name,
        *reads.categories,
        start=reads.start,
        types=reads.types,
        correlation=reads.correlation,
    )
