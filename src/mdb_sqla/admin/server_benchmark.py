"""A benchmark of the server functions that write and read messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection, Engine, String, cast, func, literal, select, true
from sqlalchemy.sql.expression import Executable

from mdb_sqla import functions
from mdb_sqla.database.error_translation import translated
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.argument_checks import described, instance

__all__ = ["CATEGORY", "MOST", "Measured", "benchmark"]

CATEGORY = "mdbBenchmark"
"""The category of the messages, which are never committed."""

MOST = 1_000_000
"""The maximum number of messages."""

_TYPE = "Benchmarked"
_DATA = {"attribute": "some value"}
_METADATA = {"metaAttribute": "some other value", "correlationStreamName": "mdbBenchmark-0"}

# A write transaction holds back readers of all messages, so keep it short.
_TRANSACTION_SIZE = 1_000


@dataclass(frozen=True)
class Measured:
    """The result of a benchmark.

    Attributes:
        messages: the number of messages written and read.
        write_seconds: the total time of `write_message`, without commits.
        read_seconds: the total time of `get_stream_messages`, one message at a time.
    """

    messages: int
    write_seconds: float
    read_seconds: float


def benchmark(engine: Engine, messages: int = 10_000, *, schema: str = DEFAULT_SCHEMA) -> Measured:
    """Write messages and read them one by one with the server functions, and roll back.

    The calls are made inside the server, so network and driver are not measured. Transactions of a
    thousand messages are rolled back, so no consumer sees the messages. The benchmark leaves a gap
    in the global positions, and space that VACUUM frees.

    Args:
        engine: an engine that connects as a role that may write messages.
        messages: the number of messages, from 1 to 1,000,000.
        schema: the schema of the store.

    Raises:
        InvalidArgument: the number of messages is out of range.
        StoreNotInstalled: the schema has no store.
    """
    if not 1 <= messages <= MOST:
        raise InvalidArgument(f"messages must be from 1 to {MOST}, got {described(messages)}")
    engine = instance("engine", engine, Engine).execution_options(
        isolation_level="READ COMMITTED", schema_translate_map={SCHEMA: checked_schema(schema)}
    )
    write_seconds = read_seconds = 0.0
    with translated(), engine.connect() as connection:
        for number in _batch_sizes(messages):
            stream_name = f"{CATEGORY}-{uuid4()}"
            write_seconds += _timed(connection, _write(stream_name, number))
            read_seconds += _timed(connection, _read(stream_name, number))
            connection.rollback()
    return Measured(messages, write_seconds, read_seconds)


def _batch_sizes(messages: int) -> Iterator[int]:
    for begin in range(0, messages, _TRANSACTION_SIZE):
        yield min(_TRANSACTION_SIZE, messages - begin)


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
