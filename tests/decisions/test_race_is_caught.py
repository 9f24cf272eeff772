"""The proof that the race can fail: without the lock or the check, a seat is sold twice."""

from __future__ import annotations

import pytest
from psycopg import connect
from sqlalchemy import URL

from tests.conftest import Databases
from tests.decisions.seat_race import SeatRace
from tests.ordering.stage import dsn_of

EDITS = {
    "no exclusive lock": {
        "unmet_condition": (
            "WHEN is_exclusive THEN pg_advisory_xact_lock(key)",
            "WHEN is_exclusive THEN pg_advisory_xact_lock_shared(key)",
        )
    },
    "no check": {"unmet_condition": ("    IF FOUND THEN\n      RETURN;\n    END IF;", "")},
    "a snapshot from before the locks": dict.fromkeys(
        ["unmet_condition", "find_matches"],
        (" LANGUAGE plpgsql\n", " LANGUAGE plpgsql\n STABLE\n"),
    ),
}


def edit_function(url: URL, function: str, text: str, replacement: str) -> None:
    with connect(dsn_of(url), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", [function]
        ).fetchall()
        ((definition,),) = rows
        assert definition.count(text) == 1
        connection.execute(definition.replace(text, replacement).encode())


@pytest.mark.parametrize("edit", EDITS)
def test_seats(databases: Databases, template: URL, edit: str) -> None:
    for seed in range(20):
        with databases.create(template) as url:
            for function, (text, replacement) in EDITS[edit].items():
                edit_function(url, function, text, replacement)
            if SeatRace(url, typed=False, seed=seed).run().problems:
                return
    pytest.fail("no rule was broken")
