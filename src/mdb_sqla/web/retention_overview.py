"""What each retention policy would delete now, and what holds it back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from mdb_sqla import functions
from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.retention.expired_messages import count_expired
from mdb_sqla.retention.holds import Hold, readers
from mdb_sqla.retention.job import holds_of
from mdb_sqla.retention.policy import RetentionPolicy, policies
from mdb_sqla.tables import deletions

__all__ = ["EXAMINED", "Deletion", "PolicyOverview", "policy_overviews", "recent_deletions"]

EXAMINED = 1_000
"""The maximum number of messages of a category to examine for whether they are due."""

_MAX_POLICIES = 50
_SECONDS = 0.5  # for examining messages of all categories
_MAX_DELETIONS = 50


class PolicyOverview(NamedTuple):
    """A retention policy and its state.

    Attributes:
        policy: the policy.
        due: the number of messages that the job would delete, among those examined; None if no time
            was left to examine any.
        at_least: whether there may be more.
        holds: what keeps further messages.
    """

    policy: RetentionPolicy
    due: int | None = None
    at_least: bool = False
    holds: Sequence[Hold] = ()


class Deletion(NamedTuple):
    """An entry of the log of deletions."""

    kind: str
    category: str | None
    stream_name: str | None
    subject: str | None
    reason: str
    archive: str | None
    messages: int | None
    deleted_by: str
    updated_at: datetime


def policy_overviews(db: Connection) -> list[PolicyOverview]:
    """Return the first policies, by category, with what is due."""
    last = execute(db, select(functions.last_global_position()), {}, WRITES)[0][0]
    end = time.monotonic() + _SECONDS
    return [
        _overview(db, policy, last) if time.monotonic() < end else PolicyOverview(policy)
        for policy in policies(db)[:_MAX_POLICIES]
    ]


def recent_deletions(db: Connection) -> list[Deletion]:
    """Return the latest entries of the log of deletions."""
    columns = [deletions.c[name] for name in Deletion._fields]
    statement = select(*columns).order_by(deletions.c.id.desc()).limit(_MAX_DELETIONS)
    return [Deletion._make(row) for row in execute(db, statement, {}, WRITES)]


def _overview(db: Connection, policy: RetentionPolicy, last: int) -> PolicyOverview:
    reading = readers(db, policy.category)
    if not reading and policy.keep_age is None and policy.keep_last is None:
        return PolicyOverview(policy, 0, False, [Hold(None)])
    up_to = min([last, *(reader.position for reader in reading)])
    due = count_expired(db, policy, after=0, up_to=up_to, examine=EXAMINED).number
    return PolicyOverview(policy, due, due >= EXAMINED, holds_of(db, policy, reading, last))
