"""The consumers of a store: what they read, position, lag, members and pauses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select

from mdb_sqla.consumers.backlog import LAG_SETTINGS, MAX_COUNTED, Backlog, Positions
from mdb_sqla.consumers.backlogs import count_backlogs
from mdb_sqla.consumers.consumer_lag import Lag
from mdb_sqla.consumers.dead_letter_queue import dead_letter_numbers
from mdb_sqla.consumers.group import is_alive
from mdb_sqla.consumers.registry import Reads, registered
from mdb_sqla.database.execution import WRITES, Database, connection_of, database, execute
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers as registrations
from mdb_sqla.tables import deleted_positions

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
        NotOffered: the store is distributed with Citus.
        OperationalError: a lag could not be computed within five seconds.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    with connection_of(db).begin_nested() as savepoint:
        settings = (func.set_config(name, value, True) for name, value in LAG_SETTINGS.items())
        execute(db, select(*settings), {}, WRITES)
        found = _State(db).overviews(db, examine)
        # Restores the settings.
        savepoint.rollback()
    return found


class _State:
    """The rows of all consumers: one statement for each table, however many there are."""

    def __init__(self, db: Database) -> None:
        self._reads = registered(db)
        paused = registrations.c.consumer, registrations.c.paused_at, registrations.c.paused_by
        rows = execute(db, select(*paused), {}, WRITES)
        self._pauses = {row.consumer: (row.paused_at, row.paused_by) for row in rows}
        columns = slots.c.slot, slots.c.position, slots.c.owner, slots.c.updated_at
        every = select(slots.c.consumer, slots.c.slots, *columns).order_by(slots.c.slot)
        self._slots: defaultdict[str, list[Slot]] = defaultdict(list)
        self._numbers: dict[str, int] = {}
        for row in execute(db, every, {}, WRITES):
            self._slots[row.consumer].append(
                Slot(row.slot, row.position, row.owner, row.updated_at)
            )
            self._numbers[row.consumer] = row.slots
        every_member = select(members.c.consumer, members.c.member, is_alive().label("is_alive"))
        self._members: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
        for row in execute(db, every_member.order_by(members.c.member), {}, WRITES):
            self._members[row.consumer].append((row.member, row.is_alive))
        self._letters = dead_letter_numbers(db)
        marks = select(deleted_positions.c.category, deleted_positions.c.global_position)
        rows = execute(db, marks, {}, WRITES)
        self._deleted = {row.category: row.global_position for row in rows}

    def overviews(self, db: Database, examine: int) -> list[ConsumerOverview]:
        """Return the overview of each consumer."""
        names = {*self._reads, *self._slots, *self._members, *self._letters}
        positions = {
            name: Positions(_by_slot(found), self._numbers[name])
            for name, found in self._slots.items()
        }
        backlogs = count_backlogs(db, self._reads, positions, examine=examine)
        return [self._overview(name, backlogs.get(name)) for name in sorted(names)]

    def _overview(self, name: str, backlog: Backlog | None) -> ConsumerOverview:
        reads, of_slots = self._reads.get(name), tuple(self._slots[name])
        dead_letters = self._letters[name]
        lag, deleted = None, 0
        if reads is not None and backlog is not None:
            lag = Lag(_by_slot(of_slots), *backlog, dead_letters=dead_letters)
            categories = reads.categories or self._deleted
            deleted = max((self._deleted.get(each, 0) for each in categories), default=0)
        paused_at, paused_by = self._pauses.get(name, (None, None))
        return ConsumerOverview(
            name=name,
            reads=reads,
            lag=lag,
            slots=of_slots,
            members=tuple(
                Member(member, alive, tuple(s.slot for s in of_slots if s.owner == member))
                for member, alive in self._members[name]
            ),
            dead_letters=dead_letters,
            deleted_up_to=deleted,
            paused_at=paused_at,
            paused_by=paused_by,
        )


def _by_slot(found: Iterable[Slot]) -> dict[int, int]:
    return {slot.slot: slot.position for slot in found}
