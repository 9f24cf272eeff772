"""Consumers: handlers, positions, groups, dead letters, lag, and request and reply."""

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.consumer_lag import Lag, lag
from mdb_sqla.consumers.dead_letter_queue import DeadLetter, dead_letters, replay, skip
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.request_reply import (
    request,
    request_async,
    wait_for_reply,
    wait_for_reply_async,
)
from mdb_sqla.consumers.retry_policy import RetryPolicy

__all__ = [
    "Consumer",
    "DeadLetter",
    "Group",
    "Lag",
    "RetryPolicy",
    "dead_letters",
    "lag",
    "replay",
    "request",
    "request_async",
    "skip",
    "wait_for_reply",
    "wait_for_reply_async",
]
