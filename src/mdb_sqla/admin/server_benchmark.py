"""How fast a store writes and reads: its functions, called over and over within the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection, Engine, String, cast, func, literal, select, true
from sqlalchemy.sql.expression import Executable

from mdb_sqla import functions
from mdb_sqla.database.refusals import translated
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import SCHEMA

__all__ = ["CATEGORY", "MOST", "Measured", "benchmark"]

CATEGORY = "mdbBenchmark"
"""The category that is written to; no message of it is ever committed."""

MOST = 1_000_000
"""How many messages may be written."""

_TYPE = "Benchmarked"
_DATA = {"attribute": "some value"}
_METADATA = {"metaAttribute": "some other value", "correlationStreamName": "mdbBenchmark-0"}

# While a transaction writes, readers of all categories stop below what it writes.
_IN_ONE_TRANSACTION = 1_000


@dataclass(frozen=True)
class Measured:
    """How long a benchmark took.

    Attributes:
        messages: how many were written, and read one by one.
        write_seconds: how long `write_message` took for all of them, without a commit.
        read_seconds: how long `get_stream_messages` took for them, one at a time.
    """

    messages: int
    write_seconds: float
    read_seconds: float


def benchmark(engine: Engine, messages: int = 10_000, *, schema: str = DEFAULT_SCHEMA) -> Measured:
    """Write messages and read each by itself, with the server's functions; nothing stays.

    The calls are made within the server, so that what is measured is neither the network nor the
    driver. They are made in transactions of a thousand messages that are rolled back: no consumer
    sees any of it. What it leaves is a gap in the global positions, and space that VACUUM frees.

    Args:
        engine: connects as a role that may write messages.
        messages: how many, from 1 to `MOST`.
        schema: the schema of the store.

    Raises:
        InvalidArgument: the number is out of bounds.
        StoreNotInstalled: there is no store in the schema.
    """
    if not 1 <= messages <= MOST:
        raise InvalidArgument(f"messages must be from 1 to {MOST}: {messages!r}")
    own = engine.execution_options(
        isolation_level="READ COMMITTED", schema_translate_map={SCHEMA: checked_schema(schema)}
    )
    write_seconds = read_seconds = 0.0
    with translated(), own.connect() as connection:
        for number in _parts(messages):
            stream_name = f"{CATEGORY}-{uuid4()}"
            write_seconds += _timed(connection, _write(stream_name, number))
            read_seconds += _timed(connection, _read(stream_name, number))
            connection.rollback()
    return Measured(messages, write_seconds, read_seconds)


def _parts(messages: int) -> Iterator[int]:
    for begin in range(0, messages, _IN_ONE_TRANSACTION):
        yield min(_IN_ONE_TRANSACTION, messages - begin)


def _timed(connection: Connection, statement: Executable) -> float:
    begin = time.perf_counter()
    connection.execute(statement).all()
    return time.perf_counter() - begin


def _write(stream_name: str, number: int) -> Executable:
    id_ = cast(func.gen_random_uuid(), String)
    written = functions.write_message(id_, stream_name, _TYPE, _DATA, _METADATA)
    return select(func.max(written)).select_from(func.generate_series(1, number).alias("number"))


def _read(stream_name: str, number: int) -> Executable:
    positions = func.generate_series(0, number - 1).table_valued("position", name="positions")
    position = positions.render_derived()
    read = functions.get_stream_messages(literal(stream_name), position.c.position, 1).lateral()
    return select(func.max(read.c.position)).select_from(position.join(read, true()))
