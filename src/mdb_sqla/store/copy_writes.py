"""Writes with COPY, the fastest way to write many messages."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from mdb_sqla import functions
from mdb_sqla.database.error_fields import sqlstate_of
from mdb_sqla.database.execution import WRITES, execute, is_autocommit, qualified, schema_of
from mdb_sqla.store.message_limits import (
    LENGTH_SQLSTATES,
    Row,
    identify_rejected_message,
    rejected_message,
)
from mdb_sqla.store.requirements import Requirements, are_met
from mdb_sqla.words.message import MessagePosition

__all__ = ["COPY_THRESHOLD", "copy"]

COPY_THRESHOLD = 200
"""The number of messages from which COPY is at least as fast as `write_messages`.

The measured break-even is 100 messages to one stream, and 200 messages to 200 streams.
"""

# Returns no row, and acquires no locks, if the role may not set global positions.
_PREPARE = select(
    functions.prepare_copy(bindparam("stream_names"), bindparam("number")),
    func.pg_catalog.current_setting("transaction_isolation").label("isolation"),
).where(func.pg_catalog.has_column_privilege(bindparam("table"), "global_position", "INSERT"))

_CHECK = select(functions.check_deletions(bindparam("stream_names")))

_CHUNK = 64 * 1024  # characters or bytes

# SQLSTATE classes that `write_messages` handles: invalid JSON (22), a repeated id or a position
# that an old snapshot can't see (23), a limit exceeded (54), and row-level security, which COPY
# does not support (0A).
_FALLBACK_CLASSES = ("22", "23", "54", "0A")

_COLUMNS = ("global_position", "stream_name", "position", "id", "type", "data", "metadata")


def copy(
    connection: Connection, rows: Sequence[Row], required: Requirements
) -> list[MessagePosition] | None:
    """Write messages with COPY and return their positions.

    Only the success case is handled here. In any other case nothing is written and the result is
    None; `write_messages` then raises the error.
    """
    copy_chunks = _COPY.get((connection.dialect.driver, connection.dialect.is_async))
    if copy_chunks is None or is_autocommit(connection):
        return None
    streams = list(dict.fromkeys(row[0] for row in rows))
    if not required.versions.keys() <= set(streams):
        # An old snapshot can't see the current version of a stream that is only read.
        return None
    parameters = {
        "stream_names": streams,
        "number": len(rows),
        "table": qualified(connection, "messages"),
    }
    with identify_rejected_message(rows):
        # These lock more than the next statement does.
        if required.conditions and not are_met(connection, required.conditions, streams):
            return None
        found = execute(connection, _PREPARE, parameters, WRITES)
    # The role may not set global positions, or the store is on Citus.
    if not found or found[0].versions is None:
        return None
    (prepared,) = found
    stream_versions = dict(zip(streams, prepared.versions, strict=True))
    if any(stream_versions[name] != version for name, version in required.versions.items()):
        return None
    positions = _positions(rows, stream_versions, prepared.global_positions)
    connection.exec_driver_sql("SAVEPOINT mdb_sqla_copy")
    try:
        copied = copy_chunks(connection, _chunks(rows, positions))
    except Exception as error:
        sqlstate = sqlstate_of(error) or ""
        if sqlstate.startswith(LENGTH_SQLSTATES) and (rejected := rejected_message(error, rows)):
            raise rejected from error
        _roll_back_copy(connection, error)
        if not sqlstate:
            raise
        if sqlstate.startswith(_FALLBACK_CLASSES):
            return None
        raise DBAPIError.instance(
            _statement(connection).decode(), None, error, type(error), dialect=connection.dialect
        ) from error
    except BaseException as error:
        # Cancelled or interrupted: the state of the connection is unknown, and a COMMIT must not
        # appear to succeed. SQLAlchemy does the same for its own statements.
        connection.invalidate(error)
        raise
    if copied != len(rows):
        # A trigger skipped rows, so the positions are wrong.
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mdb_sqla_copy")
        return None
    connection.exec_driver_sql("RELEASE SAVEPOINT mdb_sqla_copy")
    if prepared.isolation != "read committed":
        # The versions may be older than messages that were written and deleted since.
        execute(connection, _CHECK, {"stream_names": streams}, WRITES)
    return positions


def _roll_back_copy(connection: Connection, error: Exception) -> None:
    # Lets SQLAlchemy detect a lost connection, too.
    try:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mdb_sqla_copy")
    except DBAPIError as failure:
        # Without a rollback, the connection is of no use. asyncpg does not report it as closed
        # between the server's last message and the end of the connection.
        if not failure.connection_invalidated:
            connection.invalidate(error)
            failure.connection_invalidated = True
        raise


def _positions(
    rows: Sequence[Row], versions: dict[str, int], global_positions: Sequence[int]
) -> list[MessagePosition]:
    # Avoids the named tuple's constructor, a Python function, for each message.
    new = tuple.__new__
    positions = []
    for row, global_position in zip(rows, global_positions, strict=True):
        versions[row[0]] = position = versions[row[0]] + 1
        positions.append(new(MessagePosition, (position, global_position)))
    return positions


def _chunks(rows: Sequence[Row], positions: Sequence[MessagePosition]) -> Iterator[bytes]:
    """Yield the rows in COPY's text format, in chunks for the server to process as they arrive."""
    # Many messages share a few stream names and types.
    names = {
        name: _escaped(name) for name in {name for row in rows for name in (row[0], row[1].type)}
    }
    lines: list[str] = []
    length = 0
    for row, (position, global_position) in zip(rows, positions, strict=True):
        stream_name, message, data, metadata = row
        line = (
            f"{global_position}\t{names[stream_name]}\t{position}\t{message.id.hex}\t"
            f"{names[message.type]}\t{_escaped(data)}\t{_escaped(metadata)}\n"
        )
        lines.append(line)
        length += len(line)
        if length > _CHUNK:
            yield from _encoded(lines)
            lines.clear()
            length = 0
    yield from _encoded(lines)


def _encoded(lines: Sequence[str]) -> Iterator[bytes]:
    # A line can be longer than a protocol message.
    text = "".join(lines).encode()
    for first in range(0, len(text), 2 * _CHUNK):
        yield text[first : first + 2 * _CHUNK]


def _escaped(text: str | None) -> str:
    # Four times as fast as `str.translate`.
    return (
        "\\N"
        if text is None
        else text.replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
    )


def _statement(connection: Connection) -> bytes:
    columns = ", ".join(_COLUMNS)
    table = qualified(connection, "messages")
    # The connection's encoding may differ.
    return f"COPY {table} ({columns}) FROM STDIN (ENCODING 'UTF8')".encode()


# Each of these returns the number of rows that the server reports.


def _copy_psycopg(connection: Connection, chunks: Iterable[bytes]) -> int:
    driver_connection: Any = connection.connection.driver_connection
    with driver_connection.cursor() as cursor:
        with cursor.copy(_statement(connection)) as copying:
            for chunk in chunks:
                copying.write(chunk)
        return int(cursor.rowcount)


def _copy_async_psycopg(connection: Connection, chunks: Iterable[bytes]) -> int:
    statement = _statement(connection)

    async def run(driver_connection: Any) -> int:
        async with driver_connection.cursor() as cursor:
            async with cursor.copy(statement) as copying:
                for chunk in chunks:
                    await copying.write(chunk)
            return int(cursor.rowcount)

    return _run_async(connection, run)


def _copy_asyncpg(connection: Connection, chunks: Iterable[bytes]) -> int:
    schema = schema_of(connection)

    async def run(driver_connection: Any) -> int:
        done: str = await driver_connection.copy_to_table(
            "messages",
            schema_name=schema,
            columns=_COLUMNS,
            source=_async_chunks(chunks),
            encoding="utf-8",
        )
        return int(done.removeprefix("COPY "))

    return _run_async(connection, run)


async def _async_chunks(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def _run_async(connection: Connection, run: Callable[[Any], Awaitable[int]]) -> int:
    dbapi_connection: Any = connection.connection.dbapi_connection
    copied: int = dbapi_connection.run_async(run)
    return copied


_COPY = {
    ("psycopg", False): _copy_psycopg,
    ("psycopg", True): _copy_async_psycopg,
    ("asyncpg", True): _copy_asyncpg,
}
"""COPY by driver and whether it is async; with other drivers, the server function is used."""
