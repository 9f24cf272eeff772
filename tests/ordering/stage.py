"""Clients that are driven step by step, and functions of the store that are made to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

_PATIENCE = 10.0  # seconds, for what takes none unless something is wrong

# A session that has set `race.pause` waits in `pause` at that place, while its gate is closed.
_PAUSE = """
CREATE OR REPLACE FUNCTION public.pause(place text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF place = ANY (string_to_array(current_setting('race.pause', true), ',')) THEN
    PERFORM pg_advisory_lock_shared(1, hashtext(place));
    PERFORM pg_advisory_unlock_shared(1, hashtext(place));
  END IF;
  RETURN true;
END
$$
"""

Rows = list[tuple[Any, ...]]
Edit = tuple[str, str, str]
"""A function's signature, a text that stands in it once, and what is put in its place."""


class Client:
    """A connection in autocommit, whose statements may run in the background."""

    def __init__(self, connection: psycopg.Connection, executor: ThreadPoolExecutor) -> None:
        self.connection = connection
        self.pid = connection.info.backend_pid
        self._executor = executor

    def __call__(self, statement: str, *parameters: object) -> Rows:
        cursor = self.connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def start(self, statement: str, *parameters: object) -> Future[Rows]:
        return self._executor.submit(self, statement, *parameters)

    def pause_at(self, *places: str) -> None:
        self(f"SET race.pause = '{','.join(places)}'")


class Stage:
    """A store of which every client's every step is decided by the test."""

    def __init__(self, url: URL, stack: ExitStack) -> None:
        self._dsn = dsn_of(url)
        self._stack = stack
        self._executor = stack.enter_context(ThreadPoolExecutor(16))
        self._clients: list[Client] = []
        self._originals: list[str] = []
        self.control = self.client()
        self._gate = self.client()
        self.control(_PAUSE)

    def client(self) -> Client:
        connection = psycopg.connect(self._dsn, autocommit=True)
        self._stack.callback(connection.close)
        client = Client(connection, self._executor)
        self._clients.append(client)
        return client

    def edit(self, edits: Sequence[Edit]) -> None:
        """Change functions of the store."""
        for signature, old, new in edits:
            definition = self._keep(signature)
            assert definition.count(old) == 1, f"{signature} has changed, it has no {old!r}"
            self.control(definition.replace(old, new))

    def alter(self, signature: str, change: str) -> None:
        """Change what a function of the store is declared to be."""
        self._keep(signature)
        self.control(f"ALTER FUNCTION message_store.{signature} {change}")

    def _keep(self, signature: str) -> str:
        ((definition,),) = self.control(
            "SELECT pg_get_functiondef(%s::regprocedure)", f"message_store.{signature}"
        )
        self._originals.append(definition)
        return str(definition).replace('"message_store".', "message_store.")

    def restore(self) -> None:
        """Make the store what it was, without messages; what is under way is rolled back."""
        self.control(
            "SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid",
            [client.pid for client in self._clients if client is not self.control],
        )
        self.control("TRUNCATE message_store.messages RESTART IDENTITY")
        for definition in reversed(self._originals):
            self.control(definition)

    def need_two_phase_commit(self) -> None:
        if self.control("SHOW max_prepared_transactions") == [("0",)]:
            pytest.skip("The server prepares no transactions")

    def close_gate(self, place: str) -> None:
        self._gate("SELECT pg_advisory_lock(1, hashtext(%s))", place)

    def open_gate(self, place: str) -> None:
        self._gate("SELECT pg_advisory_unlock(1, hashtext(%s))", place)

    def arrive(self, client: Client, running: Future[Rows], place: str | None = None) -> bool:
        """Wait until what a client runs has ended, or waits: for a gate, or for anyone."""
        waits = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
        if place is not None:
            waits = (
                "SELECT count(*) > 0 FROM pg_locks WHERE pid = %s AND NOT granted "
                f"AND (classid, objid) = (1::oid, hashtext('{place}')::oid)"
            )
        deadline = time.monotonic() + _PATIENCE
        while not running.done():
            ((waiting,),) = self.control(waits, client.pid)
            if waiting:
                return True
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return False

    def finish(self, running: Future[Rows]) -> Rows:
        return running.result(_PATIENCE)


@contextmanager
def stage(url: URL) -> Iterator[Stage]:
    with ExitStack() as stack:
        stage = Stage(url, stack)
        try:
            yield stage
        finally:
            stage.restore()


def dsn_of(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
