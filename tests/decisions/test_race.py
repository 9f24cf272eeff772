"""Never more students than seats, however many clients decide, write, delete and die.

It is repeated for as many seconds as MDB_RACE_SECONDS says; MDB_RACE_SEED repeats the choices of
another run.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter

import pytest
from sqlalchemy import NullPool, create_engine

from mdb_sqla.admin import set_lock_granularity
from tests.conftest import Databases
from tests.decisions.seat_race import Outcome, SeatRace

SECONDS = float(os.environ.get("MDB_RACE_SECONDS", "0"))
GRANULARITIES = ["stream", "category"]


def race(databases: Databases, template: object, granularity: str, typed: bool) -> Outcome:
    seed = int(os.environ.get("MDB_RACE_SEED") or random.randrange(2**32))
    with databases.create(template) as url:  # type: ignore[arg-type]
        set_lock_granularity(create_engine(url, poolclass=NullPool), granularity)
        outcome = SeatRace(url, typed=typed, seed=seed).run()
    logging.getLogger(__name__).info("%s, seed %s", dict(outcome.counts), seed)
    return outcome


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "plain"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_seats(databases: Databases, template: object, granularity: str, typed: bool) -> None:
    deadline = time.monotonic() + SECONDS / 4
    counts: Counter[str] = Counter()
    while not counts or time.monotonic() < deadline:
        outcome = race(databases, template, granularity, typed)
        counts += outcome.counts
        assert not outcome.problems, "\n".join([f"{dict(counts)}", *outcome.problems[:5]])

    for what in ("subscribed", "condition failed", "terminated", "ordinary", "deleted"):
        assert counts[what] > 0, f"{what} did not happen: {dict(counts)}"
    assert counts["unsubscribed"] > 0
