"""The gauges of all consumers of a store.

The number of statements does not depend on the number of consumers, except for those that are
behind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import Connection, exists, func, or_, select

from mdb_sqla.consumers.backlog import MAX_COUNTED, Positions
from mdb_sqla.consumers.backlogs import count_backlogs
from mdb_sqla.consumers.dead_letter_queue import dead_letter_numbers
from mdb_sqla.consumers.group import is_alive
from mdb_sqla.consumers.registry import registered
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.gauges import CONSUMER, IN_STATE, Sample
from mdb_sqla.retention.holds import readers
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots

__all__ = ["measure_consumers", "measure_groups"]


def measure_consumers(connection: Connection, examine: int) -> Iterator[Sample]:
    """Yield the samples of consumers: position, lag, dead letters.

    Args:
        connection: a connection with `LAG_SETTINGS`.
        examine: the number of messages to examine for the lags of all consumers.
    """
    reads, positions = registered(connection), _positions(connection)
    dead_letters = dead_letter_numbers(connection)
    for reader in readers(connection, None):
        if reader.consumer not in reads and reader.consumer not in positions:
            continue  # a projection that is maintained inline, which has no position
        attributes = {CONSUMER: reader.consumer}
        yield Sample(gauges.POSITION, reader.position, attributes)
        yield Sample(gauges.DEAD_LETTERS, dead_letters[reader.consumer], attributes)
    backlogs = count_backlogs(connection, reads, positions, examine=MAX_COUNTED, total=examine)
    for consumer, backlog in backlogs.items():
        yield Sample(gauges.LAG, backlog.messages, {CONSUMER: consumer})
        yield Sample(gauges.LAG_TIME, backlog.seconds, {CONSUMER: consumer})


def _positions(connection: Connection) -> dict[str, Positions]:
    statement = select(slots.c.consumer, slots.c.slot, slots.c.position, slots.c.slots)
    by_slot: dict[str, dict[int, int]] = defaultdict(dict)
    number: dict[str, int] = {}
    for row in execute(connection, statement, {}, WRITES):
        by_slot[row.consumer][row.slot] = row.position
        number[row.consumer] = row.slots
    return {consumer: Positions(found, number[consumer]) for consumer, found in by_slot.items()}


def measure_groups(connection: Connection) -> Iterator[Sample]:
    """Yield the samples of consumers with a group, which are those that have members."""
    owner = members.alias()
    is_held = exists().where(
        owner.c.consumer == slots.c.consumer, owner.c.member == slots.c.owner, is_alive(owner)
    )
    has_members = exists().where(members.c.consumer == slots.c.consumer)
    number, held = func.max(slots.c.slots), func.count().filter(is_held)
    of_slots = (
        select(slots.c.consumer, number.label("number"), held.label("held"))
        .where(or_(slots.c.owner.is_not(None), has_members))
        .group_by(slots.c.consumer)
    )
    for row in execute(connection, of_slots, {}, WRITES):
        for state, value in (("held", row.held), ("free", row.number - row.held)):
            yield Sample(gauges.SLOTS, value, {CONSUMER: row.consumer, IN_STATE: state})
    alive = func.count().filter(is_alive()).label("alive")
    of_members = select(members.c.consumer, alive).group_by(members.c.consumer)
    for row in execute(connection, of_members, {}, WRITES):
        yield Sample(gauges.MEMBERS, row.alive, {CONSUMER: row.consumer})
