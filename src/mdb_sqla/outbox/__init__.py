"""Messages that are held back until the application commits, and the unit of work."""

from mdb_sqla.outbox.held_writes import expect_on_commit, write_on_commit
from mdb_sqla.outbox.pending_write import PendingWrite
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork

__all__ = ["AsyncUnitOfWork", "PendingWrite", "UnitOfWork", "expect_on_commit", "write_on_commit"]
