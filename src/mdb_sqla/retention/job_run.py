"""Runs of the retention job, and dry runs, over an engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import ArchiveError
from mdb_sqla.retention.category_deletion import CategoryDeletion
from mdb_sqla.retention.job import Job
from mdb_sqla.words.argument_checks import instance

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["plan", "run", "run_async"]


def plan(
    engine: Engine,
    *,
    categories: Iterable[str] = (),
    ignore_consumers: Collection[str] = (),
) -> list[CategoryDeletion]:
    """Return what the job would delete now, and what holds it back. Nothing is changed.

    See `run` for the arguments and errors.
    """
    job = Job(categories=categories, ignore_consumers=ignore_consumers, dry_run=True)
    return _run(job, engine)


def run(
    engine: Engine,
    *,
    categories: Iterable[str] = (),
    ignore_consumers: Collection[str] = (),
    batch_size: int | None = None,
    on_batch: Callable[[int], object] | None = None,
) -> list[CategoryDeletion]:
    """Delete the messages that the retention policies do not keep.

    Args:
        engine: an engine that connects as the owner of the store.
        categories: the categories; by default all that have a policy.
        ignore_consumers: consumers for which nothing is kept. If one of them has not handled
            messages that are deleted, it stops with `MessagesDeleted`.
        batch_size: the number of messages to examine in a transaction; by default 2,000, or 20,000
            if they are archived, as each batch is a file.
        on_batch: called after each transaction, with the number of messages deleted so far.

    Returns:
        What was deleted, and what holds the job back, by category.

    Raises:
        InvalidArgument: a category has no policy, a consumer is unknown, an argument has the wrong
            type, or a package that an archive needs is missing.
        ArchiveError: an archive can't be written; its messages were not deleted. Those of the other
            categories were.
        NotOffered: the store is distributed with Citus.
        NotPermitted: the role is not the owner of the store.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    job = Job(
        categories=categories,
        ignore_consumers=ignore_consumers,
        batch_size=batch_size,
        on_batch=on_batch,
    )
    return _run(job, engine)


async def run_async(engine: AsyncEngine, **options: Any) -> list[CategoryDeletion]:
    """Delete the messages that the retention policies do not keep, with an async engine.

    See `run` for the options.
    """
    job = Job(**options)
    engine = engine.execution_options(isolation_level="READ COMMITTED")
    while not job.is_done:
        try:
            with translated():
                async with engine.begin() as connection:
                    await connection.run_sync(job.step)
        except ArchiveError as error:
            job.give_up(error)
        job.report()
    return job.finish()


def _run(job: Job, engine: Engine) -> list[CategoryDeletion]:
    # Overrides the engine's level: AUTOCOMMIT would separate the steps of a batch.
    engine = instance("engine", engine, Engine).execution_options(isolation_level="READ COMMITTED")
    while not job.is_done:
        try:
            with translated(), engine.begin() as connection:
                job.step(connection)
        except ArchiveError as error:
            job.give_up(error)
        job.report()
    return job.finish()
