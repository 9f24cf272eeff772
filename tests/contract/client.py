"""How the contract's tests reach the server: plain SQL, as a client in any language sends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, CursorResult, Row, text
from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.error_fields import diagnostics_of

_LENGTH_OF_SQLSTATE = 5


def kind_of(error: DBAPIError) -> str:
    """The kind of an error of the store's functions; of any other, the SQLSTATE."""
    said = diagnostics_of(error)
    return said.constraint if said.sqlstate == "P0001" else said.sqlstate or ""


class Client:
    """Calls the functions of a store over one connection.

    Arguments are sent the way the test passes them, by name or by place: the parameters' names,
    order and defaults are part of the contract.
    """

    def __init__(self, connection: Connection, schema: str = "message_store") -> None:
        self.connection = connection
        self.schema = '"' + schema.replace('"', '""') + '"'

    def execute(self, sql: str, **parameters: Any) -> CursorResult[Any]:
        return self.connection.execute(text(sql), parameters)

    def value(self, sql: str, **parameters: Any) -> Any:
        return self.execute(sql, **parameters).scalar_one()

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.execute(sql, **parameters)]

    def call(self, function: str, *arguments: Any, **named: Any) -> Any:
        sql, parameters = self._call(function, arguments, named)
        return self.value(f"SELECT {sql}", **parameters)

    def read(self, function: str, *arguments: Any, **named: Any) -> Sequence[Row[Any]]:
        sql, parameters = self._call(function, arguments, named)
        return self.execute(f"SELECT * FROM {sql}", **parameters).all()

    def write(self, stream_name: str | None = "account-1", **arguments: Any) -> Any:
        message = {"id": str(uuid4()), "type": "Opened", "data": "{}"}
        return self.call("write_message", **message | arguments, stream_name=stream_name)

    def write_batch(
        self,
        *messages: str | dict[str, Any],
        expected_versions: dict[str, int] | None = None,
        **arguments: Any,
    ) -> list[tuple[int, int]]:
        """Write messages at once, each given as its stream's name or as what it is to contain.

        Returns:
            The position and the global position of each.
        """
        if expected_versions is not None:
            arguments["expected_versions"] = json.dumps(expected_versions)
        rows = self.read("write_messages", _document(messages), **arguments)
        return [(row.position, row.global_position) for row in rows]

    def write_tagged(self, stream_name: str, *tags: str, type: str = "Opened") -> int:  # noqa: A002
        """Write a message with tags, and return its global position."""
        message = {"stream_name": stream_name, "type": type, "metadata": {"tags": tags}}
        ((_, global_position),) = self.write_batch(message)
        return global_position

    def write_conditionally(
        self,
        *messages: str | dict[str, Any],
        unless: Sequence[tuple[Sequence[dict[str, Any]], int]],
        expected_versions: dict[str, int] | None = None,
        **arguments: Any,
    ) -> list[tuple[int, int]]:
        """Write messages as `write_batch` does, unless a query matches after a position."""
        conditions = json.dumps([{"query": query, "after": after} for query, after in unless])
        if expected_versions is not None:
            arguments["expected_versions"] = json.dumps(expected_versions)
        rows = self.read("write_conditionally", _document(messages), conditions, **arguments)
        return [(row.position, row.global_position) for row in rows]

    def insert(self, stream_name: str, number: int) -> None:
        """Put many messages into a new stream at once."""
        self.execute(
            "INSERT INTO message_store.messages (stream_name, position, type, data) "
            "SELECT :stream_name, position, 'Opened', '{}' "
            "FROM generate_series(0, :number - 1) AS position",
            stream_name=stream_name,
            number=number,
        )

    def message_count(self) -> Any:
        return self.value("SELECT count(*) FROM message_store.messages")

    def set_local(self, setting: str, value: str) -> None:
        self.execute("SELECT set_config(:setting, :value, true)", setting=setting, value=value)

    @contextmanager
    def refused(
        self, kind: str, message: str | None = None
    ) -> Iterator[pytest.ExceptionInfo[DBAPIError]]:
        """The block's statement fails with this SQLSTATE and, to the letter, this text.

        Errors of the store's functions are P0001; `kind` is what their field CONSTRAINT has.
        """
        with pytest.raises(DBAPIError) as caught, self.connection.begin_nested():
            yield caught
        error = caught.value.orig
        assert isinstance(error, psycopg.Error)
        if len(kind) == _LENGTH_OF_SQLSTATE:
            assert error.sqlstate == kind
        else:
            assert (error.sqlstate, error.diag.constraint_name) == ("P0001", kind)
            schema = (error.diag.schema_name or "").replace('"', '""')
            assert f'"{schema}"' == self.schema
        if message is not None:
            assert error.diag.message_primary == message

    def floors(self) -> list[int]:
        """The global positions that this client's locks name as its floors: their low 32 bits."""
        floors = self.rows(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 "
            "AND classid = CAST(:messages AS regclass) AND pid = pg_backend_pid() ORDER BY 1",
            messages=f"{self.schema}.messages",
        )
        return [floor for (floor,) in floors]

    def category_lock(self, category: str) -> str | None:
        """The strongest mode in which this client holds the lock of a category."""
        modes = self.rows(
            "SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
            "AND (classid::bigint << 32) | objid::bigint = :key AND pid = pg_backend_pid() "
            "ORDER BY mode",
            key=hash_64(category),
        )
        return str(modes[0][0]) if modes else None

    @property
    def pid(self) -> int:
        """The server's process, without a query, which would begin a transaction."""
        driver_connection = self.connection.connection.driver_connection
        assert isinstance(driver_connection, psycopg.Connection)
        return driver_connection.info.backend_pid

    def _call(
        self, function: str, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        values = {f"argument_{place}": value for place, value in enumerate(arguments)} | named
        binds = [f":{name}" for name in values if name not in named]
        binds += [f'"{name}" => :{name}' for name in named]
        return f"{self.schema}.{function}({', '.join(binds)})", values


def _document(messages: Sequence[str | dict[str, Any]]) -> str:
    documents = [
        {"id": str(uuid4()), "type": "Opened", "data": {}}
        | ({"stream_name": message} if isinstance(message, str) else message)
        for message in messages
    ]
    return json.dumps(documents)


def hash_64(value: str) -> int:
    return int.from_bytes(hashlib.md5(value.encode()).digest()[:8], "big", signed=True)
