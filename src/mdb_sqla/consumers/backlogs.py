"""The backlogs of all consumers, with a number of statements that depends on those behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ARRAY, Text, cast, func, select

from mdb_sqla import functions
from mdb_sqla.consumers.backlog import Backlog, Positions, count_backlog
from mdb_sqla.consumers.registry import Reads
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.tables import messages

__all__ = ["NOT_STARTED", "count_backlogs"]

NOT_STARTED = Positions({}, 1)
"""The positions of a consumer that has not saved one yet."""

_LEAST_EXAMINED = 1_000
_NONE = Backlog(0, at_least=False, seconds=0.0)


def count_backlogs(
    db: Database,
    reads: Mapping[str, Reads],
    positions: Mapping[str, Positions],
    *,
    examine: int,
    total: int | None = None,
) -> dict[str, Backlog]:
    """Return the messages beyond the positions of consumers, by consumer.

    Their conditions are ignored: the SQL comes from roles that may have fewer privileges.

    Args:
        db: a session or connection with `LAG_SETTINGS`.
        reads: what each consumer reads.
        positions: the positions of each consumer; those of others are ignored.
        examine: the maximum number of messages to examine for a consumer.
        total: the maximum number of messages to examine for all consumers together, unless that is
            less than 1,000 for each of those that are behind.
    """
    newest = _newest(db, {name for each in reads.values() for name in each.categories})
    behind = [
        consumer
        for consumer, each in reads.items()
        if positions.get(consumer, NOT_STARTED).lowest(each.start)
        < max(newest[name] for name in _categories(each))
    ]
    if total is not None:
        examine = min(examine, max(_LEAST_EXAMINED, total // max(len(behind), 1)))
    found = dict.fromkeys(reads, _NONE)
    for consumer in behind:
        each = reads[consumer]
        found[consumer] = count_backlog(
            db,
            positions.get(consumer, NOT_STARTED),
            each.categories,
            start=each.start,
            types=each.types,
            examine=examine,
            filters=CategoryFilters(correlation=each.correlation),
        )
    return found


def _categories(reads: Reads) -> Sequence[str | None]:
    """Return the categories that a consumer reads; None stands for all."""
    return reads.categories or [None]


def _newest(db: Database, categories: Iterable[str]) -> dict[str | None, int]:
    """Return the position of the newest message of each category, and for None that of all."""
    position = messages.c.global_position
    of_all = select(func.coalesce(func.max(position), 0).label("position"))
    found: dict[str | None, int] = {None: execute(db, of_all, {}, WRITES)[0].position}
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
    rows = execute(db, statement, {}, WRITES)
    return found | {row.category: row.position for row in rows}
