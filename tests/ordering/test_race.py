"""Nothing is ever skipped, whoever writes and reads, and however.

It takes as many seconds as MDB_RACE_SECONDS says; MDB_RACE_SEED repeats the choices of another run.
`--log-cli-level=INFO` tells how much was done.
"""

from __future__ import annotations

import logging
import os
import random

from sqlalchemy import URL

from tests.ordering.race import Race

SECONDS = float(os.environ.get("MDB_RACE_SECONDS", "20"))


def test_nothing_is_skipped_and_nothing_comes_twice(database: URL) -> None:
    seed = int(os.environ.get("MDB_RACE_SEED") or random.randrange(2**32))
    outcome = Race(database, SECONDS, seed).run()

    summary = f"{outcome.messages} messages, {dict(outcome.counts)}, seed {seed}"
    logging.getLogger(__name__).info(summary)
    assert not outcome.problems, "\n".join([summary, *outcome.problems])

    # So much happens in a second even where there is little time for it.
    assert outcome.messages > 20 * SECONDS, summary
    for what, least in {
        "switch": 0.2,
        "crash": 0.2,
        "conflict": 0.1,
        "refusal": 0.2,
        "savepoint": 0.5,
        "rollback": 0.5,
        "read": 10,
        "read with an old snapshot": 0.2,
        "ended backend": 0.1,
        "load": 0.1,
        "write_messages": 0.5,
        "unit of work": 1,
        "store": 1,
        "insert": 1,
        "copy": 0.5,
    }.items():
        assert outcome.counts[what] > least * SECONDS, f"{what} is too rare: {summary}"
