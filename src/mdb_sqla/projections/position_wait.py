"""Waiting until a projection has applied all messages up to a position."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mdb_sqla.consumers.backlog import Positions, has_backlog
from mdb_sqla.consumers.loop_operations import Interrupted, Operation, Pause, Transact
from mdb_sqla.database.execution import WRITES, connection_of, execute
from mdb_sqla.errors import NotProjected, ProjectionRefused
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.versions import consumer_name, read_versions
from mdb_sqla.tables import consumer_slots as slots
from mdb_sqla.tables import consumers, dead_letters
from mdb_sqla.wake_up.listener import subscribe
from mdb_sqla.words.argument_checks import integer, seconds

if TYPE_CHECKING:
    from mdb_sqla.consumers.runners import AsyncRunner, Runner

__all__ = ["is_applied", "wait_until_applied"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.5  # seconds between two looks, doubled each time
_LOOKS = 3  # before LISTEN, which takes a connection


def wait_until_applied(
    runner: Runner | AsyncRunner,
    projection: ProjectionDefinition[Any],
    position: int,
    timeout: float,
) -> Generator[Operation, Any, None]:
    """Wait until a projection has applied a position. See `Projection.wait_for`.

    The consumer notifies after each batch. Looks that become rarer find what a notification has
    missed, or if there are none.
    """
    position = integer("position", position, 0)
    deadline = time.monotonic() + seconds("timeout", timeout)
    pause, looks = _FIRST_PAUSE, 0
    with ExitStack() as stack:
        while True:
            try:
                applied = yield Transact(partial(is_applied, projection, position))
            except Interrupted:
                applied = False
            if applied:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotProjected(projection.name, position, timeout)
            looks += 1
            if looks == _LOOKS:
                name = consumer_name(projection.name, projection.version)
                stack.enter_context(subscribe(runner.engine, [name], runner.wake))
                continue
            yield Pause(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)


def is_applied(projection: ProjectionDefinition[Any], position: int, session: Session) -> bool:
    """Return whether a projection has applied all committed messages up to a position.

    Raises:
        ProjectionRefused: the message at this position is a dead letter, or another version is
            current.
    """
    versions = read_versions(connection_of(session), projection)
    if (current := versions.current) not in (None, projection.version):
        raise ProjectionRefused(
            projection.name,
            f"version {current} is current, so version {projection.version} can't be waited for",
        )
    if versions.modes.get(projection.version) == "inline":
        return True
    name = consumer_name(projection.name, projection.version)
    statement = select(slots.c.slot, slots.c.position, slots.c.slots)
    rows = execute(session, statement.where(slots.c.consumer == name), {}, WRITES)
    started = select(consumers.c.start).where(consumers.c.consumer == name)
    start = next((row.start for row in execute(session, started, {}, WRITES)), 1)
    positions = Positions({row.slot: row.position for row in rows}, rows[0].slots if rows else 1)
    if has_backlog(
        session,
        positions,
        projection.categories,
        start=start,
        types=list(projection.handlers),
        up_to=position,
    ):
        return False
    letters = select(dead_letters.c.slot).where(
        dead_letters.c.consumer == name, dead_letters.c.global_position == position
    )
    if execute(session, letters, {}, WRITES):
        raise ProjectionRefused(
            projection.name,
            f"message {position} is a dead letter of its consumer {name!r}; replay it with mdb "
            f"dead-letters replay {name}",
        )
    return True
