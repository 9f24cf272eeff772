"""Projections that are attached to an engine, whose writers maintain them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.projections.inline_writes import InlineProjection
from mdb_sqla.store.write_observers import observe_writes, observers_of
from mdb_sqla.words.argument_checks import described, instance

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["attach", "detach"]


def attach(engine: Engine | AsyncEngine, *projections: ProjectionDefinition[Any]) -> None:
    """Have all writes over an engine maintain projections that are inline.

    Whether a projection is inline is decided in the database, by `make_inline`. While its consumer
    maintains it, nothing changes; while nothing does, writes of its messages raise
    `ProjectionRefused`. If it is inline, every message that this package writes over the engine is
    applied in its transaction, whether it is written by a session's commit, a unit of work, a
    message store, a load, or a handler of a consumer. If it can't be applied, the write fails.
    Writers of other processes must attach the projection as well. What other clients write is not
    applied.

    Attach all projections of the application in one call. To replace one by a new version, attach
    both versions until the new one is current.

    Args:
        engine: the engine; also for its copies with other execution options.
        projections: the projections.

    Raises:
        InvalidArgument: an argument is invalid, there is no projection, or projections are already
            attached to the engine.
    """
    if not projections:
        raise InvalidArgument("attach needs at least one projection, got none")
    for each in projections:
        instance("projection", each, ProjectionDefinition)
    dialect = _engine(engine).dialect
    if observers_of(dialect):
        raise InvalidArgument(f"Projections are already attached to {engine!r}")
    versions = {(each.name, each.version) for each in projections}
    if len(versions) < len(projections):
        raise InvalidArgument("projections must differ in their name or version")
    ordered = sorted(projections, key=lambda each: each.name)
    groups = groupby(ordered, lambda each: each.name)
    observe_writes(dialect, [InlineProjection(list(group)) for _, group in groups])


def detach(engine: Engine | AsyncEngine) -> None:
    """Undo `attach`.

    Messages that are written later are not applied, so first call `make_async`.
    """
    observe_writes(_engine(engine).dialect, ())


def _engine(engine: object) -> Engine:
    found = getattr(engine, "sync_engine", engine)
    if not isinstance(found, Engine):
        raise InvalidArgument(
            f"engine must be an Engine or an AsyncEngine, got {described(engine)}"
        )
    return found
