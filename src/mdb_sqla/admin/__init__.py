"""Administration of a store: reports, consumers, operations, verification, locks, databases."""

from mdb_sqla.admin.consumer_changes import (
    delete_consumer,
    pause_consumer,
    reset_consumer,
    resume_consumer,
)
from mdb_sqla.admin.consumer_overview import ConsumerOverview, Member, Slot, consumers
from mdb_sqla.admin.databases import create_database, delete_database
from mdb_sqla.admin.granularity_switch import lock_granularity, set_lock_granularity
from mdb_sqla.admin.message_removal import clear
from mdb_sqla.admin.protection import is_protected, set_protection
from mdb_sqla.admin.reports import REPORTS, Row, columns, report
from mdb_sqla.admin.server_benchmark import Measured, benchmark
from mdb_sqla.admin.store_summary import CategorySize, Summary, summary
from mdb_sqla.admin.verification import Difference, Verification, verify
from mdb_sqla.consumers.consumer_lag import lag
from mdb_sqla.consumers.dead_letter_queue import DeadLetter, dead_letters, replay, skip
from mdb_sqla.consumers.open_transactions import holding_back, open_writers
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.operation_log import Operation, operations, record_operation
from mdb_sqla.store.table_size import Size
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = [
    "REPORTS",
    "CategorySize",
    "ConsumerOverview",
    "DeadLetter",
    "Difference",
    "LockGranularity",
    "Measured",
    "Member",
    "OpenWriter",
    "Operation",
    "Row",
    "Size",
    "Slot",
    "Summary",
    "Verification",
    "benchmark",
    "clear",
    "columns",
    "consumers",
    "create_database",
    "dead_letters",
    "delete_consumer",
    "delete_database",
    "holding_back",
    "is_protected",
    "lag",
    "lock_granularity",
    "open_writers",
    "operations",
    "pause_consumer",
    "record_operation",
    "replay",
    "report",
    "reset_consumer",
    "resume_consumer",
    "set_lock_granularity",
    "set_protection",
    "skip",
    "summary",
    "verify",
]
