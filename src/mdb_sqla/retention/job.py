"""The retention job: deletes the messages that no policy keeps, in batches.

Each batch is one transaction: it archives messages if the policy says so, deletes them, records up
to where, and updates the audit log. Writers and readers do not wait for it. Killed at any point, it
has deleted whole batches; several at a time wait for each other, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from sqlalchemy import bindparam, select

from mdb_sqla import functions
from mdb_sqla.archive.batch_writer import archive_batch, is_unchanged
from mdb_sqla.archive.location import Location
from mdb_sqla.database.citus import Unoffered, refuse_on_citus
from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.errors import ArchiveError, InvalidArgument
from mdb_sqla.retention.category_deletion import Batch, CategoryDeletion
from mdb_sqla.retention.deletion_log import DeletionLog
from mdb_sqla.retention.expired_messages import Expired, count_expired, expired
from mdb_sqla.retention.holds import Hold, Reader, dead_letters, readers
from mdb_sqla.retention.policy import COLUMNS, RetentionPolicy, policies
from mdb_sqla.tables import retention_policies as table
from mdb_sqla.words.argument_checks import described, integer, text
from mdb_sqla.words.stream_name import category_name

__all__ = ["ARCHIVE_BATCH_SIZE", "BATCH_SIZE", "Job", "holds_of"]

BATCH_SIZE = 2_000
"""The number of messages to examine in a transaction."""

ARCHIVE_BATCH_SIZE = 20_000
"""The same if they are archived: each batch is a file, of some megabytes."""

_AHEAD = 1_000  # messages to examine for whether a consumer holds any of them back

_DELETE = select(functions.delete_messages(bindparam("positions"), bindparam("keep_versions")))
_POLICY = select(*COLUMNS).where(table.c.category == bindparam("category"))
_LAST = select(functions.last_global_position())


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
        self._after = 0
        self._last = 0
        self._log = DeletionLog()
        self._locations: dict[str, Location] = {}
        self._errors: list[ArchiveError] = []

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

    def give_up(self, error: ArchiveError) -> None:
        """Continue with the next category, after this one's archive could not be written."""
        self._errors.append(error)
        self._next()

    def finish(self) -> list[CategoryDeletion]:
        """Return the results, once there is nothing left to do.

        Raises:
            ArchiveError: archives could not be written; its notes name those after the first one.
        """
        if self._errors:
            first, *others = self._errors
            for error in others:
                first.add_note(str(error))
            raise first
        return self.results

    def report(self) -> None:
        """Call `on_batch`, after a transaction."""
        if self._on_batch is not None:
            self._on_batch(sum(each.messages for each in self.results))

    def _begun(self, db: Database) -> list[CategoryDeletion]:
        refuse_on_citus(db, Unoffered.RETENTION)
        # Not in the transaction of a batch: it keeps the sequence from being altered until it ends,
        # which an import and a change of the lock granularity would wait for, and writers for them.
        self._last = execute(db, _LAST, {}, WRITES)[0][0]
        found = policies(db)
        missing = set(self._categories) - {policy.category for policy in found}
        if missing:
            raise InvalidArgument(f"There is no retention policy for category {min(missing)!r}")
        if self._ignored:
            names = {reader.consumer for reader in readers(db, None)}
            if unknown := self._ignored - names:
                raise InvalidArgument(f"There is no consumer {min(unknown)!r} to ignore")
        return [
            CategoryDeletion(policy)
            for policy in found
            if not self._categories or policy.category in self._categories
        ]

    def _delete(self, db: Database, policy: RetentionPolicy) -> None:
        reading = readers(db, policy.category)
        if not reading and policy.keep_age is None and policy.keep_last is None:
            self._complete([Hold(None)])
            return
        waiting = [reader for reader in reading if reader.consumer not in self._ignored]
        up_to = min([self._last, *(reader.position for reader in waiting)])
        after: int | None = None
        if self._dry_run:
            self._add(count_expired(db, policy, after=0, up_to=up_to))
        else:
            after = self._delete_batch(db, policy, up_to)
        if after is None:
            self._complete(holds_of(db, policy, waiting, self._last))
        else:
            self._after = after

    def _delete_batch(self, db: Database, policy: RetentionPolicy, up_to: int) -> int | None:
        """Delete messages; return the position to continue after, None if there are no more."""
        size = self._batch_size
        if size is None:
            size = BATCH_SIZE if policy.archive is None else ARCHIVE_BATCH_SIZE
        found = expired(db, policy, after=self._after, up_to=up_to, examine=size)
        if found.batch.number and policy.archive is not None:
            return self._archive_and_apply(db, policy, policy.archive, found)
        if found.batch.number:
            self._apply(db, policy, found.global_positions, found.batch)
        return found.scanned

    def _add(self, batch: Batch) -> None:
        self.results[self._current] = self.results[self._current].including(batch)

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
        self, db: Database, policy: RetentionPolicy, url: str, found: Expired
    ) -> int | None:
        if url not in self._locations:
            self._locations[url] = Location(url)
        archived = archive_batch(
            db, self._locations[url], policy.archive_format, policy.category, found.global_positions
        )
        if not is_unchanged(db, archived):
            # Some were erased in the meantime, for example. Archive them again, as they are now.
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
        return found.scanned if file.messages == found.batch.number else file.last_global_position

    def _complete(self, holds: Iterable[Hold]) -> None:
        self.results[self._current] = replace(self.results[self._current], holds=tuple(holds))
        self._next()

    def _next(self) -> None:
        self._current += 1
        self._after = 0
        self._log = DeletionLog()


def holds_of(db: Database, policy: RetentionPolicy, waiting: list[Reader], last: int) -> list[Hold]:
    """Return what keeps messages up to a position that no rule of a policy keeps."""
    held = [
        Hold(reader.consumer, reader.position)
        for reader in waiting
        if reader.position < last
        and count_expired(db, policy, after=reader.position, up_to=last, examine=_AHEAD).number
    ]
    return [*held, *dead_letters(db, policy.category)]
