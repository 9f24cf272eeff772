"""The retention job: deletes the messages that no policy keeps, in batches.

Each batch is one transaction: it archives messages if the policy says so, deletes them, records up
to where, and updates the audit log.
Writers and readers do not wait for it. Killed at any point, it has deleted whole batches; several
at a time wait for each other, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Interval, bindparam, cast, func, select, type_coerce

from mdb_sqla import functions
from mdb_sqla.archive.batch_writer import archive_batch, is_unchanged
from mdb_sqla.archive.location import Location
from mdb_sqla.column_types import UTCDateTime, time_column
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.retention.deletion_log import Batch, DeletionLog
from mdb_sqla.retention.holds import Hold, Reader, dead_letters, readers
from mdb_sqla.retention.policy import COLUMNS, RetentionPolicy, policies
from mdb_sqla.tables import retention_policies as table
from mdb_sqla.words.argument_checks import described, instance, integer, text
from mdb_sqla.words.stream_name import category_name

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = [
    "ARCHIVE_BATCH_SIZE",
    "BATCH_SIZE",
    "CategoryDeletion",
    "Job",
    "plan",
    "run",
    "run_async",
]

BATCH_SIZE = 2_000
"""The number of messages to examine in a transaction."""

ARCHIVE_BATCH_SIZE = 20_000
"""The same if they are archived: each batch is a file, of some megabytes."""

_AHEAD = 1_000  # messages to examine for whether a consumer holds any of them back

_age = cast(bindparam("keep_age", type_=Interval), Interval)
_cutoff = func.timezone("utc", func.clock_timestamp()) - _age
_found = functions.expired_messages(
    bindparam("category"),
    _cutoff,
    bindparam("keep_last"),
    bindparam("up_to"),
    bindparam("after"),
    bindparam("batch_size"),
    bindparam("counting"),
)
_EXPIRED = select(
    _found.c.number,
    _found.c.global_positions,
    _found.c.first_global_position,
    _found.c.last_global_position,
    # Drivers fail at a time that Python can't represent.
    type_coerce(time_column(_found.c.first_time), UTCDateTime).label("first_time"),
    type_coerce(time_column(_found.c.last_time), UTCDateTime).label("last_time"),
    _found.c.scanned,
)
_DELETE = select(functions.delete_messages(bindparam("positions"), bindparam("keep_versions")))
_POLICY = select(*COLUMNS).where(table.c.category == bindparam("category"))
_LAST = select(functions.last_global_position())


@dataclass(frozen=True)
class CategoryDeletion:
    """The messages of a category that a run of the job has deleted, or that it would delete.

    Attributes:
        policy: the retention policy.
        messages: the number of messages.
        first_global_position: the first of their global positions; None if there are none.
        last_global_position: the last of their global positions.
        first_time: the earliest of their times.
        last_time: the latest of their times.
        holds: what keeps other messages, which the policy does not keep.
    """

    policy: RetentionPolicy
    messages: int = 0
    first_global_position: int | None = None
    last_global_position: int | None = None
    first_time: datetime | None = None
    last_time: datetime | None = None
    holds: tuple[Hold, ...] = ()


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
        ArchiveError: an archive can't be written; its messages were not deleted.
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
        with translated():
            async with engine.begin() as connection:
                await connection.run_sync(job.step)
    return job.results


def _run(job: Job, engine: Engine) -> list[CategoryDeletion]:
    # Overrides the engine's level: AUTOCOMMIT would separate the steps of a batch.
    engine = instance("engine", engine, Engine).execution_options(isolation_level="READ COMMITTED")
    while not job.is_done:
        with translated(), engine.begin() as connection:
            job.step(connection)
    return job.results


class Job:
    """A run of the job, as a sequence of transactions.

    Args:
        categories: see `run`.
        ignore_consumers: see `run`.
        batch_size: see `run`.
        on_batch: see `run`.
        dry_run: whether to delete nothing.
        wait: whether to wait for another job that is deleting messages of the same category,
            instead of leaving the category to it.
    """

    def __init__(
        self,
        *,
        categories: Iterable[str] = (),
        ignore_consumers: Collection[str] = (),
        batch_size: int | None = None,
        on_batch: Callable[[int], object] | None = None,
        dry_run: bool = False,
        wait: bool = True,
    ) -> None:
        for what, value in (("categories", categories), ("ignore_consumers", ignore_consumers)):
            if isinstance(value, str):
                raise InvalidArgument(f"{what} must be a list of names, got {described(value)}")
        self._categories = [category_name(category) for category in categories]
        self._ignored = {text("ignore_consumers", name) for name in ignore_consumers}
        self._batch_size = None if batch_size is None else integer("batch_size", batch_size, 1)
        self._on_batch = on_batch
        self._dry_run = dry_run
        self._wait = wait
        self._results: list[CategoryDeletion] | None = None
        self._current = 0
        self._after: int | None = 0
        self._log = DeletionLog()
        self._locations: dict[str, Location] = {}

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return self._results is not None and self._current == len(self._results)

    @property
    def results(self) -> list[CategoryDeletion]:
        """What was deleted so far, by category."""
        return self._results or []

    def step(self, db: Database) -> None:
        """Do the next piece of work, in a transaction at READ COMMITTED."""
        if self._results is None:
            self._results = self._begun(db)
            return
        category = self._results[self._current].policy.category
        statement = _POLICY
        if not self._dry_run:
            statement = statement.with_for_update(skip_locked=not self._wait)
        rows = execute(db, statement, {"category": category}, WRITES)
        if not rows:
            # The policy was deleted, or another job is deleting messages of the category.
            self._next()
            return
        policy = RetentionPolicy(*rows[0])
        self._results[self._current] = replace(self._results[self._current], policy=policy)
        self._delete(db, policy)

    def _begun(self, db: Database) -> list[CategoryDeletion]:
        found = policies(db)
        missing = set(self._categories) - {policy.category for policy in found}
        if missing:
            raise InvalidArgument(f"There is no retention policy for category {min(missing)!r}")
        if self._ignored:
            names = {reader.consumer for reader in readers(db, None, ())}
            if unknown := self._ignored - names:
                raise InvalidArgument(f"There is no consumer {min(unknown)!r} to ignore")
        return [
            CategoryDeletion(policy)
            for policy in found
            if not self._categories or policy.category in self._categories
        ]

    def _delete(self, db: Database, policy: RetentionPolicy) -> None:
        last = execute(db, _LAST, {}, WRITES)[0][0]
        reading = readers(db, policy.category, self._ignored)
        up_to = min([last, *(reader.position for reader in reading)])
        if not reading and policy.keep_age is None and policy.keep_last is None:
            self._finish([Hold(None)])
            return
        found = self._expired(db, policy, up_to, self._after)
        if self._dry_run:
            self._add(_batch(found))
            self._after = found.scanned
        else:
            self._after = self._deleted(db, policy, found)
        if self._after is None:
            self._finish(self._holds(db, policy, reading, last))
        elif self._on_batch is not None:
            self._on_batch(sum(each.messages for each in self.results))

    def _deleted(self, db: Database, policy: RetentionPolicy, found: Any) -> int | None:
        """Delete messages; return the position to continue after, None if there are no more."""
        if found.number and policy.archive is not None:
            return self._archive_and_apply(db, policy, policy.archive, found)
        if found.number:
            self._apply(db, policy, found.global_positions, _batch(found))
        scanned: int | None = found.scanned
        return scanned

    def _expired(
        self,
        db: Database,
        policy: RetentionPolicy,
        up_to: int,
        after: int | None,
        *,
        examine: int | None = None,
    ) -> Any:
        parameters = {
            "category": policy.category,
            "keep_age": policy.keep_age,
            "keep_last": policy.keep_last,
            "up_to": up_to,
            "after": after,
            "batch_size": examine or (None if self._dry_run else self._size_of_batch(policy)),
            "counting": self._dry_run or examine is not None,
        }
        return execute(db, _EXPIRED, parameters, WRITES)[0]

    def _size_of_batch(self, policy: RetentionPolicy) -> int:
        usual = BATCH_SIZE if policy.archive is None else ARCHIVE_BATCH_SIZE
        return usual if self._batch_size is None else self._batch_size

    def _add(self, found: Batch) -> None:
        result = self.results[self._current]
        first = result.first_global_position
        times = [
            time
            for time in (result.first_time, result.last_time, found.first_time, found.last_time)
            if time is not None
        ]
        self.results[self._current] = replace(
            result,
            messages=result.messages + found.number,
            first_global_position=found.first_global_position if first is None else first,
            last_global_position=found.last_global_position,
            first_time=min(times, default=None),
            last_time=max(times, default=None),
        )

    def _apply(
        self, db: Database, policy: RetentionPolicy, positions: list[int], batch: Batch
    ) -> None:
        parameters = {"positions": positions, "keep_versions": policy.keep_versions}
        number: int = execute(db, _DELETE, parameters, WRITES)[0][0]
        if number == 0:
            # Another job was faster.
            return
        batch = batch._replace(number=number)
        self._add(batch)
        self._log.add(db, policy, batch)

    def _archive_and_apply(
        self, db: Database, policy: RetentionPolicy, url: str, found: Any
    ) -> int | None:
        if url not in self._locations:
            self._locations[url] = Location(url)
        archived = archive_batch(
            db, self._locations[url], policy.archive_format, policy.category, found.global_positions
        )
        if not is_unchanged(db, archived):
            # Some were erased meanwhile, for example. Archive them again, as they are now.
            return self._after
        file = archived.file
        batch = Batch(
            file.messages,
            file.first_global_position,
            file.last_global_position,
            archived.first_time,
            archived.last_time,
        )
        self._apply(db, policy, archived.positions, batch)
        # Large messages fill a file before the batch is complete.
        return found.scanned if file.messages == found.number else file.last_global_position

    def _holds(
        self, db: Database, policy: RetentionPolicy, reading: list[Reader], last: int
    ) -> list[Hold]:
        held = [
            Hold(reader.consumer, reader.position)
            for reader in reading
            if reader.position < last
            and self._expired(db, policy, last, reader.position, examine=_AHEAD).number
        ]
        return [*held, *dead_letters(db, policy.category)]

    def _finish(self, holds: Iterable[Hold]) -> None:
        self.results[self._current] = replace(self.results[self._current], holds=tuple(holds))
        self._next()

    def _next(self) -> None:
        self._current += 1
        self._after = 0
        self._log = DeletionLog()


def _batch(found: Any) -> Batch:
    return Batch._make(getattr(found, name) for name in Batch._fields)
