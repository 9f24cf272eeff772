"""All consumers of a store: what they read, how far they are, who shares their work."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Text, and_, delete, func, literal, select, union
from sqlalchemy.dialects.postgresql import insert

from mdb_sqla import functions
from mdb_sqla.consumers.consumer_lag import Lag, lag
from mdb_sqla.consumers.dead_letter_queue import number_set_aside
from mdb_sqla.consumers.registry import Reads, registered
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers as told
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.wake_up.channel import ANY_CATEGORY
from mdb_sqla.wake_up.notifier import announce

__all__ = ["ConsumerOverview", "Member", "Slot", "consumers", "reset_consumer"]


class Slot(NamedTuple):
    """A part of a consumer's work; one that does not share has slot 0.

    Attributes:
        slot: its number.
        position: the global position up to which all is done.
        owner: the member of the group that has it; None without a group, or where it is free.
        updated_at: when it was last moved or taken.
    """

    slot: int
    position: int
    owner: str | None
    updated_at: datetime


@dataclass(frozen=True)
class Member:
    """A member of a group.

    Attributes:
        name: its name.
        is_alive: whether it has been heard of within its lease.
        slots: those that it has, also where it is dead and no other has taken them yet.
    """

    name: str
    is_alive: bool
    slots: tuple[int, ...]


@dataclass(frozen=True)
class ConsumerOverview:
    """A consumer that runs or has run.

    Attributes:
        name: under which its position is kept.
        reads: what it reads, as of its last start; None where it has never started, and only its
            position was set.
        lag: what lies before it; None where it is not known what it reads. Its condition is not
            applied, so that with one there may be less.
        slots: how far it is, and when it last came further.
        members: of its group, by name; who left is not among them.
        dead_letters: how many messages it has set aside.
    """

    name: str
    reads: Reads | None
    lag: Lag | None
    slots: tuple[Slot, ...]
    members: tuple[Member, ...]
    dead_letters: int


def consumers(db: Database) -> list[ConsumerOverview]:
    """Return all consumers, by name.

    Args:
        db: a session or connection in a transaction, which is left as it was.

    Raises:
        OperationalError: what lies before one could not be counted within five seconds.
        StoreNotInstalled: there is no store in the database, or it is not up to date.
    """
    db = database(db)
    reads = registered(db)
    names = union(*(select(table.c.consumer) for table in (told, slots, members, letters)))
    found = sorted(row.consumer for row in execute(db, names, {}, WRITES))
    return [_overview(db, name, reads.get(name)) for name in found]


def reset_consumer(db: Database, consumer: str, start: int = 1) -> None:
    """Have a consumer handle messages from a global position on, as if it had not before.

    All its slots get that position. Its dead letters from there on are deleted, for it handles
    these messages again; those before stay, and later messages of their streams still wait for
    them. It takes effect when the transaction is committed: a consumer that runs continues from
    there, and what it had in hand is rolled back.

    Args:
        db: a session or connection in a transaction.
        consumer: its name.
        start: the global position to begin with: 1 for all messages, one more than that of the
            last message for those that are written from now on.

    Raises:
        InvalidArgument: the consumer has never run here, the position is less than 1, or no
            message before it has been written yet.
        StoreNotInstalled: there is no store in the database.
    """
    if not isinstance(start, int) or isinstance(start, bool) or start < 1:
        raise InvalidArgument(f"start must be a global position of at least 1: {start!r}")
    ((last,),) = execute(db, select(functions.last_global_position()), {}, WRITES)
    if start > last + 1:
        raise InvalidArgument(
            f"start must not be beyond {last + 1}, the next global position: consumer "
            f"{consumer!r} would skip what is written up to {start}"
        )
    # A slot that no member has taken yet has no row, and would begin where the consumer began.
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
            f"Consumer {consumer!r} has no position to reset: it has never run here"
        )
    handled_again = delete(letters).where(
        letters.c.consumer == consumer, letters.c.global_position >= start
    )
    execute(db, handled_again.returning(letters.c.global_position), {}, WRITES)
    announce(connection_of(db), [ANY_CATEGORY])


def _overview(db: Database, name: str, reads: Reads | None) -> ConsumerOverview:
    columns = select(slots.c.slot, slots.c.position, slots.c.owner, slots.c.updated_at)
    of_consumer = columns.where(slots.c.consumer == name).order_by(slots.c.slot)
    of_slots = tuple(Slot._make(row) for row in execute(db, of_consumer, {}, WRITES))
    now = func.clock_timestamp()
    # One that is to be alive beyond its lease has not been heard of since the clock went back.
    is_alive = and_(members.c.alive_until > now, members.c.alive_until <= now + members.c.lease)
    statement = select(members.c.member, is_alive.label("is_alive")).where(
        members.c.consumer == name
    )
    of_members = tuple(
        Member(row.member, row.is_alive, tuple(s.slot for s in of_slots if s.owner == row.member))
        for row in execute(db, statement.order_by(members.c.member), {}, WRITES)
    )
    set_aside = number_set_aside(db, name)
    return ConsumerOverview(name, reads, _lag(db, name, reads), of_slots, of_members, set_aside)


def _lag(db: Database, name: str, reads: Reads | None) -> Lag | None:
    if reads is None:
        return None
    # The condition is SQL of whoever may write the table, and this may be the database's owner.
    return lag(
        db,
        name,
        *reads.categories,
        start=reads.start,
        types=reads.types,
        correlation=reads.correlation,
    )
