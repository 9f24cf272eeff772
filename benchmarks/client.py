"""Connections of psycopg alone, to either store."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from sqlalchemy import URL

from tests.side_by_side.message_db import conninfo

__all__ = ["SEARCH_PATH", "Prepared", "connect", "plan_of"]

SEARCH_PATH = "-csearch_path=message_store,public"
"""The original's functions find each other by it."""


def connect(url: URL, *, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect with statements prepared at once, as SQLAlchemy's and the servers' plans are kept."""
    return psycopg.connect(
        conninfo(url), autocommit=autocommit, options=SEARCH_PATH, prepare_threshold=0
    )


class Prepared:
    """A statement that libpq runs with next to nothing of Python around it.

    What the client costs is time that the server's other processes don't have: where writers share
    the cores with the server, an ordinary client would be measured instead of the server.
    """

    def __init__(self, connection: psycopg.Connection[Any], name: str, statement: str) -> None:
        self._libpq: PGconn = connection.pgconn
        self._name = name.encode()
        _check(self._libpq, self._libpq.prepare(self._name, statement.encode()).status)

    def run(self, *arguments: str) -> None:
        encoded = [argument.encode() for argument in arguments]
        _check(self._libpq, self._libpq.exec_prepared(self._name, encoded).status)


def plan_of(
    connection: psycopg.Connection[Any], query: str, arguments: tuple[Any, ...] = ()
) -> Any:
    """Run a query in the server alone, and return what EXPLAIN ANALYZE measured."""
    statement = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}".encode()
    row = psycopg.ClientCursor(connection).execute(statement, arguments).fetchone()
    assert row is not None
    return row[0][0]


def _check(libpq: PGconn, status: int) -> None:
    if status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise RuntimeError(libpq.get_error_message())
