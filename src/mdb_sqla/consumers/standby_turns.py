"""A read that standbys take turns to serve."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from mdb_sqla.consumers.loop_operations import (
    Interrupted,
    OnStandby,
    Operation,
    Pause,
    Transact,
)
from mdb_sqla.database.lock_timeout import is_lock_timeout
from mdb_sqla.database.sqlstates import is_conflict
from mdb_sqla.store.standby_reads import Horizon, Refusal, flush
from mdb_sqla.store.standbys import Standby, Standbys

__all__ = ["read_in_turn"]

_T = TypeVar("_T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two looks at the standbys
_UNFLUSHED = 0.008  # the pause after which the log may have to be flushed
# What leaves a standby out at once.
_FAILURES = Refusal.IS_NO_STANDBY, Refusal.LACKS_WITNESS


def read_in_turn(
    standbys: Standbys,
    horizon: Horizon,
    read: Callable[[Connection], _T | Refusal],
    max_wait: float,
    stops: Callable[[], bool] = lambda: False,
) -> Generator[Operation, Any, _T | Refusal | None]:
    """Return what a standby has read, or None if none of them can serve the read.

    `Refusal.HAS_GAPS` is returned as well: what must be replayed has to be determined again.

    Args:
        standbys: the standbys. Those that can't serve it are left out for some time.
        horizon: what they must have replayed.
        read: reads in a transaction on a standby, or returns why it can't.
        max_wait: how long to wait for them, in seconds.
        stops: whether to stop waiting.
    """
    deadline = time.monotonic() + max_wait
    pause = _FIRST_PAUSE
    remaining = standbys.next_turn()
    while remaining:
        for standby in list(remaining):
            found = yield from _read(standby, read)
            if not isinstance(found, Refusal):
                standby.succeeded()
                return found
            if found is Refusal.HAS_GAPS:
                return found
            if found is not Refusal.LAGS:
                remaining.remove(standby)
        if stops():
            return None
        if time.monotonic() >= deadline:
            break
        yield Pause(pause, wakes=False)
        if pause == _UNFLUSHED:
            yield Transact(partial(flush, horizon))
        pause = min(2 * pause, _LONGEST_PAUSE)
    for standby in remaining:
        standby.failed(Refusal.LAGS.value)
    return None


def _read(
    standby: Standby, read: Callable[[Connection], _T | Refusal]
) -> Generator[Operation, Any, _T | Refusal]:
    try:
        found: _T | Refusal = yield OnStandby(standby.engine, read)
    except Exception as error:
        # Any error: whatever is wrong with a standby, another server serves the read.
        cause = error.__cause__ or error
        if is_conflict(cause) or is_lock_timeout(cause):
            # Its replay has cancelled the query, or holds a lock.
            return Refusal.LAGS
        if isinstance(error, Interrupted):
            standby.failed(Refusal.FAILED.value, cause)
        else:
            standby.failed(Refusal.FAILED.value, error, level=logging.ERROR)
        return Refusal.FAILED
    if isinstance(found, Refusal) and found in _FAILURES:
        standby.failed(found.value)
    return found
