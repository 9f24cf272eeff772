"""Records what the retention job deletes: up to where, and in the audit log."""

from __future__ import annotations

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert

from mdb_sqla.database.execution import WRITES, Database, execute
from mdb_sqla.retention.category_deletion import Batch
from mdb_sqla.retention.policy import RetentionPolicy
from mdb_sqla.tables import deleted_positions as marks
from mdb_sqla.tables import deletions

__all__ = ["DeletionLog"]


class DeletionLog:
    """The log entries of a run of the job, one for each category and policy."""

    def __init__(self) -> None:
        self._policy: RetentionPolicy | None = None
        self._id: int | None = None

    def add(self, db: Database, policy: RetentionPolicy, batch: Batch) -> None:
        """Record a batch in the transaction that deletes it."""
        self._mark(db, policy, batch)
        values = {
            "messages": batch.number,
            "first_global_position": batch.first_global_position,
            "last_global_position": batch.last_global_position,
        }
        if policy != self._policy:
            row = insert(deletions).values(
                category=policy.category,
                reason=f"retention policy: keep {policy}",
                archive=policy.archive,
                **values,
            )
            self._id = execute(db, row.returning(deletions.c.id), {}, WRITES)[0].id
            self._policy = policy
            return
        changed = (
            update(deletions)
            .where(deletions.c.id == self._id)
            .values(
                messages=deletions.c.messages + batch.number,
                last_global_position=batch.last_global_position,
                updated_at=func.clock_timestamp(),
            )
        )
        execute(db, changed.returning(deletions.c.id), {}, WRITES)

    def _mark(self, db: Database, policy: RetentionPolicy, batch: Batch) -> None:
        """Record up to where messages of the category were deleted."""
        mark = insert(marks).values(
            category=policy.category,
            global_position=batch.last_global_position,
            keeps_versions=policy.keep_versions,
        )
        highest = func.greatest(marks.c.global_position, mark.excluded.global_position)
        keeps = marks.c.keeps_versions & mark.excluded.keeps_versions
        statement = mark.on_conflict_do_update(
            index_elements=[marks.c.category],
            set_={"global_position": highest, "keeps_versions": keeps},
        )
        execute(db, statement.returning(marks.c.category), {}, WRITES)
