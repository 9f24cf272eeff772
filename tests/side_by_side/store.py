"""One of the two stores, called as a client of Message DB calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL

from tests.side_by_side.calls import Call, Outcome, Refusal, Rows
from tests.side_by_side.message_db import conninfo

REPORTS = (
    "stream_summary",
    "type_summary",
    "stream_type_summary",
    "type_stream_summary",
    "category_type_summary",
    "type_category_summary",
)

_NEW_SESSION = {"sql_condition": "off", "debug": "off", "debug_get": "off", "debug_write": "off"}
"""A setting that was never touched is NULL, which can't be restored; `off` means the same."""


class Store:
    """A store in a transaction that is rolled back at the end of `transaction`."""

    def __init__(self, database: URL, schema: str = "message_store") -> None:
        self.schema = schema
        self._connection = psycopg.connect(conninfo(database), autocommit=True)
        self._connection.add_notice_handler(lambda _: self._notices.append(1))
        self._notices: list[int] = []
        self._settings: dict[str, str] = {}

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self, search_path: str, isolation_level: str) -> Iterator[None]:
        """Begin with no message and the first global position."""
        self._settings = {}
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation_level}".encode())
            self._run("SELECT set_config('search_path', %(path)s, true)", path=search_path)
            # Not undone by the rollback, in contrast to everything else.
            self.move_sequence(0)
            yield

    def call(self, call: Call) -> Outcome:
        """Make a call in a savepoint, which is rolled back if it fails."""
        self._set(_NEW_SESSION | call.settings)
        self._notices.clear()
        answer = self._answer("SELECT * FROM {}." + call.sql(), call)
        # A read draws no position, so the question is only worth its time after a write.
        sequence = self.sequence() if call.function == "write_message" else -1
        return Outcome(answer, sequence, bool(self._notices))

    def reports(self) -> dict[str, Rows | Refusal]:
        return {view: self._answer("SELECT * FROM {}." + view) for view in REPORTS}

    def messages(self) -> Rows | Refusal:
        return self._answer("SELECT * FROM {}.messages ORDER BY global_position")

    def sequence(self) -> int:
        """The last global position that was drawn; 0 if none was."""
        cursor = self._run(
            "SELECT last_value - 1 + is_called::int FROM {}.messages_global_position_seq"
        )
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    def move_sequence(self, last: int) -> None:
        table = '"' + self.schema.replace('"', '""') + '".messages'
        self._run(
            "SELECT setval(pg_get_serial_sequence(%(table)s, 'global_position'), %(next)s, false)",
            table=table,
            next=last + 1,
        )

    def _set(self, settings: dict[str, str]) -> None:
        for name, value in settings.items():
            if self._settings.get(name) != value:
                full_name = f"message_store.{name}"
                self._run(
                    "SELECT set_config(%(name)s, %(value)s, true)", name=full_name, value=value
                )
        self._settings = settings

    def _answer(self, statement: str, call: Call | None = None) -> Rows | Refusal:
        try:
            with self._connection.transaction():
                cursor = self._run(statement, **(call.passed() if call else {}))
        except psycopg.Error as error:
            return Refusal(error.sqlstate or "", error.diag.message_primary or str(error))
        columns = tuple((column.name, column.type_code) for column in cursor.description or ())
        compared = [index for index, (name, _) in enumerate(columns) if name != "time"]
        return Rows(
            columns, tuple(tuple(row[index] for index in compared) for row in cursor.fetchall())
        )

    def _run(self, statement: str, **arguments: object) -> psycopg.Cursor[tuple[Any, ...]]:
        schema = '"' + self.schema.replace('"', '""').replace("%", "%%") + '"'
        return self._connection.execute(statement.replace("{}", schema), arguments)
