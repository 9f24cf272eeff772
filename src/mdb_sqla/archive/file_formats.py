"""The formats of archive files: gzipped JSON lines, and Parquet.

A file is in memory while it is written or read: batches have a limited size.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from typing import Any, Protocol
from uuid import UUID

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.raw_message import RawMessage

__all__ = ["FORMATS", "Encoder", "archive_format", "encoder", "line_blocks", "number_of_messages"]

FORMATS = ("jsonl", "parquet")
"""The formats, which are the suffixes of files; those of `jsonl` end in `.jsonl.gz`."""

_BLOCK = 4 * 1024 * 1024  # bytes
_ROWS = 2_000  # messages


def archive_format(value: object) -> str:
    """Return a format.

    Raises:
        InvalidArgument: it is not one of the formats.
    """
    if value not in FORMATS:
        raise InvalidArgument(
            f"archive_format must be {' or '.join(FORMATS)}, got {described(value)}"
        )
    return str(value)


class Encoder(Protocol):
    """Encodes the messages of a file.

    Attributes:
        suffix: the suffix of the file's name.
    """

    suffix: str

    def add(self, messages: Sequence[RawMessage]) -> None:
        """Append messages."""

    def finish(self) -> bytes:
        """Return the content of the file."""


def encoder(name: str) -> Encoder:
    """Return an encoder for a new file.

    Raises:
        InvalidArgument: the format is Parquet, and pyarrow is missing.
    """
    return _ParquetEncoder() if name == "parquet" else _JsonLinesEncoder()


def line_blocks(name: str, content: bytes) -> Iterator[list[bytes]]:
    """Yield the messages of a file as exported lines, in blocks of some megabytes.

    Raises:
        InvalidArgument: the format is Parquet, and pyarrow is missing.
        OSError: the content is damaged; also EOFError, ValueError or zlib.error.
    """
    return _parquet_blocks(content) if name == "parquet" else _json_lines_blocks(content)


def number_of_messages(name: str, content: bytes) -> int:
    """Decode a file, and return the number of messages. See `line_blocks`."""
    if name == "parquet":
        _, parquet = _pyarrow()
        file = parquet.ParquetFile(io.BytesIO(content))
        return sum(batch.num_rows for batch in file.iter_batches(_ROWS))
    number = 0
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as lines:
        while block := lines.read(_BLOCK):
            number += block.count(b"\n")
    return number


class _JsonLinesEncoder:
    # From the standard library, and every tool reads it: PostgreSQL limits the speed, not zlib.
    suffix = "jsonl.gz"

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        # Without a time, equal messages make equal files.
        self._file = gzip.GzipFile("", "wb", 6, self._buffer, mtime=0)

    def add(self, messages: Sequence[RawMessage]) -> None:
        self._file.write("".join([message.line for message in messages]).encode())

    def finish(self) -> bytes:
        self._file.close()
        return self._buffer.getvalue()


def _json_lines_blocks(content: bytes) -> Iterator[list[bytes]]:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        while lines := file.readlines(_BLOCK):
            yield lines


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidArgument(
            'Parquet requires the extra "parquet": pip install "mdb_sqla[parquet]"'
        ) from error
    return pyarrow, pyarrow.parquet


class _ParquetEncoder:
    suffix = "parquet"

    def __init__(self) -> None:
        self._arrow, parquet = _pyarrow()
        arrow = self._arrow
        self._schema = arrow.schema(
            [
                arrow.field("id", arrow.string(), nullable=False),
                arrow.field("stream_name", arrow.string(), nullable=False),
                arrow.field("type", arrow.string(), nullable=False),
                arrow.field("position", arrow.int64(), nullable=False),
                arrow.field("global_position", arrow.int64(), nullable=False),
                arrow.field("data", arrow.string()),
                arrow.field("metadata", arrow.string()),
                arrow.field("time", arrow.timestamp("us", "UTC")),
                # A time that `time` can't represent.
                arrow.field("time_text", arrow.string()),
            ]
        )
        self._buffer = io.BytesIO()
        self._writer = parquet.ParquetWriter(self._buffer, self._schema, compression="zstd")

    def add(self, messages: Sequence[RawMessage]) -> None:
        ids, names, types, positions, global_positions, data, metadata, times = zip(
            *messages, strict=True
        )
        columns = [
            [str(id_) for id_ in ids],
            *(names, types, positions, global_positions, data, metadata),
            [None if isinstance(time, str) else time for time in times],
            [time if isinstance(time, str) else None for time in times],
        ]
        arrays = [
            self._arrow.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))

    def finish(self) -> bytes:
        self._writer.close()
        return self._buffer.getvalue()


def _parquet_blocks(content: bytes) -> Iterator[list[bytes]]:
    arrow, parquet = _pyarrow()
    file = parquet.ParquetFile(io.BytesIO(content))
    for batch in file.iter_batches(_ROWS):
        columns = {name: batch.column(name) for name in batch.schema.names}
        # Without its zone, a time has the value that is exported.
        columns["time"] = columns["time"].cast(arrow.timestamp("us"))
        rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
        yield [
            RawMessage._make((UUID(id_), *values, text if time is None else time)).line.encode()
            for id_, *values, time, text in rows
        ]
