"""The transactional outbox: messages that are pending until commit, and the unit of work."""

from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.outbox.write_on_commit import expect_on_commit, write_on_commit

__all__ = ["AsyncUnitOfWork", "PendingWrite", "UnitOfWork", "expect_on_commit", "write_on_commit"]
