"""An empty result is said on stderr; programs get nothing, or empty JSON."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import URL

from tests.cli.test_mdb import mdb


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("print", "No messages.\n"),
        ("print account --type Opened", "No messages.\n"),
        ("report stream", "No messages.\n"),
        ("report type --type Opened", "No messages.\n"),
        ("consumers", "No consumers.\n"),
        ("dead-letters list", "No dead letters.\n"),
        ("operations", "No operations.\n"),
        ("retention list", "No retention policies.\n"),
        ("projections list", "No projections.\n"),
        ("retention run", "No retention policies.\n"),
        ("retention run --dry-run", "No retention policies.\n"),
        ("dead-letters list billing --traceback", "No dead letters.\n"),
    ],
)
def test_for_people(database: URL, command: str, told: str) -> None:
    done = mdb(*command.split(), url=database)

    assert (done.stdout, done.stderr) == ("", told)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("report stream", {"report": "stream", "rows": [], "message_count": 0}),
        ("consumers", {"consumers": [], "open_writers": []}),
        ("dead-letters list", []),
        ("operations", []),
        ("retention list", []),
        ("projections list", []),
        ("retention run", []),
        ("retention run --dry-run", []),
    ],
)
def test_for_programs(database: URL, command: str, told: object) -> None:
    done = mdb(*command.split(), "--json", url=database)

    assert (json.loads(done.stdout), done.stderr) == (told, "")


def test_lines_for_programs(database: URL) -> None:
    done = mdb("print", "--json", url=database)

    assert (done.stdout, done.stderr) == ("", "")
