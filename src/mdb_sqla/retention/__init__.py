"""How long the messages of each category are kept, and the job that deletes the others."""

from mdb_sqla.retention.category_deletion import CategoryDeletion
from mdb_sqla.retention.holds import Hold
from mdb_sqla.retention.job_run import plan, run, run_async
from mdb_sqla.retention.policy import RetentionPolicy, delete_policy, policies, set_policy

__all__ = [
    "CategoryDeletion",
    "Hold",
    "RetentionPolicy",
    "delete_policy",
    "plan",
    "policies",
    "run",
    "run_async",
    "set_policy",
]
