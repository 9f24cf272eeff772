"""The consumers of a store: what they read, position, lag, members and pauses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, select, union

from mdb_sqla.consumers.consumer_lag import MAX_COUNTED, Lag, lag
from mdb_sqla.consumers.dead_letter_queue import count_dead_letters
from mdb_sqla.consumers.deleted_messages import deleted_up_to
from mdb_sqla.consumers.group import is_alive
from mdb_sqla.consumers.registry import Reads, registered
from mdb_sqla.database.execution import WRITES, Database, database, execute
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers as registrations
from mdb_sqla.tables import dead_letters as letters

__all__ = [
    "ConsumerOverview",
    "Member",
    "Slot",
    "consumers",
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
        paused_at: since when it is paused for all processes; None if it is not.
        paused_by: who paused it; None if it is not paused.
    """

    name: str
    reads: Reads | None
    lag: Lag | None
    slots: tuple[Slot, ...]
    members: tuple[Member, ...]
    dead_letters: int
    deleted_up_to: int
    paused_at: datetime | None
    paused_by: str | None

    @property
    def has_missed_messages(self) -> bool:
        """Whether messages that it has not handled were deleted.

        It stops with `MessagesDeleted` when it reads, unless it starts at `"earliest"`.
        """
        start = 0 if self.reads is None else max(self.reads.start - 1, 0)
        return min((slot.position for slot in self.slots), default=start) < self.deleted_up_to


def consumers(db: Database, *, examine: int = MAX_COUNTED) -> list[ConsumerOverview]:
    """Return an overview of all consumers, ordered by name.

    Args:
        db: a session or connection in a transaction, which is left unchanged.
        examine: the maximum number of messages to examine for the lag of each consumer.

    Raises:
        OperationalError: a lag could not be computed within five seconds.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    reads = registered(db)
    names = union(*(select(table.c.consumer) for table in (registrations, slots, members, letters)))
    found = sorted(row.consumer for row in execute(db, names, {}, WRITES))
    paused = select(registrations.c.consumer, registrations.c.paused_at, registrations.c.paused_by)
    pauses = {row.consumer: row for row in execute(db, paused, {}, WRITES)}
    return [_overview(db, name, reads.get(name), pauses.get(name), examine) for name in found]


def _overview(
    db: Database,
    name: str,
    reads: Reads | None,
    pause: Row[Any] | None,
    examine: int,
) -> ConsumerOverview:
    columns = select(slots.c.slot, slots.c.position, slots.c.owner, slots.c.updated_at)
    of_consumer = columns.where(slots.c.consumer == name).order_by(slots.c.slot)
    of_slots = tuple(Slot._make(row) for row in execute(db, of_consumer, {}, WRITES))
    statement = select(members.c.member, is_alive().label("is_alive")).where(
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
        name=name,
        reads=reads,
        lag=_lag(db, name, reads, examine),
        slots=of_slots,
        members=of_members,
        dead_letters=dead_letters,
        deleted_up_to=deleted,
        paused_at=None if pause is None else pause.paused_at,
        paused_by=None if pause is None else pause.paused_by,
    )


def _lag(db: Database, name: str, reads: Reads | None, examine: int) -> Lag | None:
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
        examine=examine,
    )
