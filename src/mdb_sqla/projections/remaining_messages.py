"""The messages that a version has yet to apply when its writers are locked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, any_, delete, select, true
from sqlalchemy.dialects.postgresql import array, insert

from mdb_sqla import functions
from mdb_sqla.consumers.backlog import slot_of
from mdb_sqla.consumers.consumer_lag import lag
from mdb_sqla.consumers.registry import WITHOUT_CONSUMER
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.errors import ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.live_fold import step_of
from mdb_sqla.projections.message_handler import Step
from mdb_sqla.projections.row_fold import RowFold, failures_named
from mdb_sqla.projections.target_table import TargetTable
from mdb_sqla.projections.versions import consumer_name
from mdb_sqla.store.message_decoder import fetch, select_messages
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers, messages
from mdb_sqla.tables import dead_letters as letters
from mdb_sqla.words.message import StoredMessage

__all__ = [
    "MAX_REMAINING",
    "SlotRow",
    "apply_remaining",
    "check_remaining",
    "lock_categories",
    "register_at",
    "slots_of",
    "unregister",
]

MAX_REMAINING = 10_000
"""The maximum number of messages to apply while writers wait, which takes about half a second."""

_BATCH_SIZE = 1000


class SlotRow(NamedTuple):
    """A slot of a consumer."""

    slot: int
    slots: int
    position: int


def slots_of(connection: Connection, consumer: str) -> list[SlotRow]:
    """Lock the slots of a consumer and return them, in their order."""
    columns = (slots.c[name] for name in SlotRow._fields)
    statement = select(*columns).where(slots.c.consumer == consumer).order_by(slots.c.slot)
    rows = execute(connection, statement.with_for_update(), {}, WRITES)
    return [SlotRow._make(row) for row in rows]


def lock_categories(connection: Connection, projection: ProjectionDefinition[Any]) -> int:
    """Lock out the writers of a projection's categories until the transaction ends.

    Returns:
        The last global position that was assigned: all messages of the categories up to it are
        visible to a later statement, and later ones are beyond it.
    """
    with translated():
        for category in sorted(projection.categories):
            connection.execute(select(functions.acquire_lock(category)))
        return int(connection.execute(select(functions.last_global_position())).scalar_one())


def check_remaining(connection: Connection, projection: ProjectionDefinition[Any]) -> None:
    """Check that the consumer of a version has few messages left, and no dead letters.

    Raises:
        ProjectionRefused: it has many, or has dead letters.
    """
    name = consumer_name(projection.name, projection.version)
    found = lag(
        connection,
        name,
        *projection.categories,
        types=list(projection.handlers),
        examine=MAX_REMAINING * len(projection.categories),
    )
    if found.at_least:
        raise ProjectionRefused(
            projection.name,
            f"consumer {name!r} has about {MAX_REMAINING:,} messages or more left to apply; let it "
            "catch up first",
        )
    if found.dead_letters:
        raise ProjectionRefused(
            projection.name,
            f"consumer {name!r} has {found.dead_letters:,} dead letters, which its rows lack; "
            "replay or skip them first",
        )


def apply_remaining(
    connection: Connection, projection: ProjectionDefinition[Any], target: TargetTable, last: int
) -> None:
    """Apply all messages up to a position that the consumer of a version has not applied yet.

    Args:
        connection: a connection in a transaction with `lock_categories`.
        projection: the projection.
        target: the table of the version.
        last: the position, up to which all messages are visible.

    Raises:
        ProjectionFailed: a message can't be applied.
    """
    found = slots_of(connection, consumer_name(projection.name, projection.version))
    number = found[0].slots if found else 1
    positions = {row.slot: row.position for row in found}
    for slot in range(number):
        is_of_slot = true() if number == 1 else slot_of(messages.c.stream_name, number) == slot
        position = positions.get(slot, 0)
        while found_messages := _read(connection, projection, position, last, is_of_slot):
            _apply(connection, projection, target, found_messages)
            position = found_messages[-1].global_position


def _read(
    connection: Connection,
    projection: ProjectionDefinition[Any],
    position: int,
    last: int,
    is_of_slot: ColumnElement[bool],
) -> list[StoredMessage]:
    """Return the next messages, from the table: no writer of the categories is left to wait for."""
    of_category = functions.category(messages.c.stream_name)
    statement = (
        select_messages(messages)
        .where(
            of_category == any_(array(projection.categories)),
            messages.c.global_position > position,
            messages.c.global_position <= last,
            is_of_slot,
        )
        .order_by(messages.c.global_position)
        .limit(_BATCH_SIZE)
    )
    return fetch(connection, statement, {}, messages)


def _apply(
    connection: Connection,
    projection: ProjectionDefinition[Any],
    target: TargetTable,
    found: Sequence[StoredMessage],
) -> None:
    fold: RowFold[Any] = RowFold(projection.name, projection.mapping)
    steps: list[Step] = []
    for message in found:
        with failures_named(projection.name, message):
            if (step := step_of(projection, message)) is not None:
                steps.append(step)
    keys = dict.fromkeys(key for step in steps for key in step.keys)
    fold.load(target.read(connection, keys, lock=True))
    for step in steps:
        with failures_named(projection.name, step.message):
            fold.apply(step)
    target.write(connection, fold.changes())


def register_at(
    connection: Connection,
    projection: ProjectionDefinition[Any],
    name: str,
    *,
    number: int,
    position: int | None,
) -> None:
    """Register a version, replacing its slots by others at one position.

    Args:
        connection: the connection.
        projection: the projection.
        name: the name of its consumer, or that under which it is registered inline.
        number: the number of slots.
        position: the position; None if the version is maintained inline, which holds back nothing.
    """
    values = {
        "categories": list(projection.categories),
        "types": sorted(projection.handlers),
        "start": 1 if position is not None else WITHOUT_CONSUMER,
    }
    row = insert(consumers).values(consumer=name, **values)
    statement = row.on_conflict_do_update(index_elements=[consumers.c.consumer], set_=values)
    with translated():
        connection.execute(statement)
        connection.execute(delete(slots).where(slots.c.consumer == name))
        if position is not None:
            rows = [
                {"consumer": name, "slot": slot, "slots": number, "position": position}
                for slot in range(number)
            ]
            connection.execute(insert(slots), rows)


def unregister(connection: Connection, name: str) -> None:
    """Delete the registration and the positions of a version."""
    with translated():
        for table in (slots, letters, consumers):
            connection.execute(delete(table).where(table.c.consumer == name))
