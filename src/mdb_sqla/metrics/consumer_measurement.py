"""The gauges of all consumers of a store.

The number of statements does not depend on the number of consumers, except for those that are
behind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import ARRAY, Connection, Text, cast, exists, func, or_, select

from mdb_sqla import functions
from mdb_sqla.consumers.backlog import MAX_COUNTED, Backlog, Positions, count_backlog
from mdb_sqla.consumers.group import is_alive
from mdb_sqla.consumers.registry import Reads, registered
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.metrics import gauges
from mdb_sqla.metrics.gauges import CONSUMER, IN_STATE, Sample
from mdb_sqla.retention.holds import Reader, readers
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.tables import consumer_members as members
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.tables import messages

__all__ = ["measure_consumers", "measure_groups"]

_EXAMINED, _LEAST_EXAMINED = 300_000, 1_000
"""The number of messages to examine for the lags of all consumers, and at least for each."""


def measure_consumers(connection: Connection) -> Iterator[Sample]:
    """Yield the samples of consumers: position, lag, dead letters.

    Args:
        connection: a connection with `LAG_SETTINGS`.
    """
    reads, found = registered(connection), readers(connection, None)
    dead_letters = _dead_letters(connection)
    for reader in found:
        attributes = {CONSUMER: reader.consumer}
        yield Sample(gauges.POSITION, reader.position, attributes)
        yield Sample(gauges.DEAD_LETTERS, dead_letters[reader.consumer], attributes)
    yield from _lags(connection, reads, [each for each in found if each.consumer in reads])


def _lags(
    connection: Connection, reads: Mapping[str, Reads], found: Sequence[Reader]
) -> Iterator[Sample]:
    newest = _newest(connection, {name for each in reads.values() for name in each.categories})
    behind = {
        consumer
        for consumer, position in found
        if position < max(newest[name] for name in _categories(reads[consumer]))
    }
    positions = _positions(connection)
    examine = min(MAX_COUNTED, max(_LEAST_EXAMINED, _EXAMINED // max(len(behind), 1)))
    for consumer, _ in found:
        backlog = Backlog(0, at_least=False, seconds=0.0)
        if consumer in behind:
            of_consumer = reads[consumer]
            # Without the condition: its SQL comes from roles that may have fewer privileges.
            backlog = count_backlog(
                connection,
                positions.get(consumer, Positions({}, 1)),
                of_consumer.categories,
                start=of_consumer.start,
                types=of_consumer.types,
                examine=examine,
                filters=CategoryFilters(correlation=of_consumer.correlation),
            )
        yield Sample(gauges.LAG, backlog.messages, {CONSUMER: consumer})
        yield Sample(gauges.LAG_TIME, backlog.seconds, {CONSUMER: consumer})


def _categories(reads: Reads) -> Sequence[str | None]:
    """Return the categories that a consumer reads; None stands for all."""
    return reads.categories or [None]


def _newest(connection: Connection, categories: Iterable[str]) -> dict[str | None, int]:
    """Return the position of the newest message of each category, and for None that of all."""
    position = messages.c.global_position
    of_all = select(func.coalesce(func.max(position), 0).label("position"))
    found: dict[str | None, int] = {None: execute(connection, of_all, {}, WRITES)[0].position}
    requested = func.unnest(cast(sorted(categories), ARRAY(Text))).column_valued("requested")
    # Compared as in `get_category_messages`, so only one index is suitable.
    of_category = functions.category(messages.c.stream_name)
    last = (
        select(position)
        .where(of_category == requested)
        .order_by(of_category.desc(), position.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = select(requested.label("category"), func.coalesce(last, 0).label("position"))
    rows = execute(connection, statement, {}, WRITES)
    return found | {row.category: row.position for row in rows}


def _positions(connection: Connection) -> dict[str, Positions]:
    statement = select(slots.c.consumer, slots.c.slot, slots.c.position, slots.c.slots)
    by_slot: dict[str, dict[int, int]] = defaultdict(dict)
    number: dict[str, int] = {}
    for row in execute(connection, statement, {}, WRITES):
        by_slot[row.consumer][row.slot] = row.position
        number[row.consumer] = row.slots
    return {consumer: Positions(found, number[consumer]) for consumer, found in by_slot.items()}


def _dead_letters(connection: Connection) -> Counter[str]:
    number = func.count().label("number")
    statement = select(letters.c.consumer, number).group_by(letters.c.consumer)
    rows = execute(connection, statement, {}, WRITES)
    return Counter({row.consumer: row.number for row in rows})


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
