"""Writes messages to an archive, and reads them back, before they are deleted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from mdb_sqla import functions
from mdb_sqla.archive.file_formats import encoder
from mdb_sqla.archive.location import Location
from mdb_sqla.archive.manifest import SUFFIX, ArchiveFile, category_folder, check
from mdb_sqla.column_types import Instant, UTCDateTime, time_column
from mdb_sqla.database.execution import WRITES, Database, dialect_of, execute, execute_raw
from mdb_sqla.errors import ArchiveError
from mdb_sqla.store.raw_columns import raw_columns, raw_messages, time_text
from mdb_sqla.tables import messages
from mdb_sqla.words.raw_message import shown_time

__all__ = ["ArchivedBatch", "archive_batch", "is_unchanged"]

_MAX_BYTES = 64 * 1024 * 1024  # of a file's messages, as PostgreSQL stores them
_CHUNK_BYTES = 4 * 1024 * 1024
_CHUNK = 1_000  # messages

_T = TypeVar("_T")

# Functions are qualified: these statements run as the store's owner, on a search path where other
# roles may have created functions that match better.
_server = func.pg_catalog

_requested = (
    _server.unnest(bindparam("positions", type_=ARRAY(BigInteger)))
    .table_valued("global_position")
    .render_derived()
)
# The limit forces a lookup in the primary key for each.
_one = (
    select(messages, cast(literal_column("xmin"), Text).label("row_version"))
    .where(messages.c.global_position == _requested.c.global_position)
    .limit(1)
    .lateral("message")
)
_found = _requested.join(_one, true())
_position = _one.c.global_position

_READ = select(*raw_columns(_one.c)).select_from(_found).order_by(_position)

_size = func.coalesce(_server.pg_column_size(_one.c.data), 0) + func.coalesce(
    _server.pg_column_size(_one.c.metadata), 0
)
_sized = (
    select(
        _position,
        (_server.row_number(type_=BigInteger).over(order_by=_position) - 1).label("number"),
        _server.sum(_size, type_=BigInteger).over(order_by=_position).label("total"),
    )
    .select_from(_found)
    .subquery("sized")
)
# Both quotients only grow, and so does their sum.
_chunk = _sized.c.number // _CHUNK + _sized.c.total // _CHUNK_BYTES
_CHUNKS = (
    select(_server.array_agg(_sized.c.global_position, type_=ARRAY(BigInteger)))
    .where((_sized.c.number == 0) | (_sized.c.total <= _MAX_BYTES))
    .group_by(_chunk)
    .order_by(_chunk)
)

# A changed row has the id of another transaction.
_versions = aggregate_order_by(literal_column("','", Text), _position)
_first, _last = (function(_one.c.time) for function in (_server.min, _server.max))
_STATE = select(
    _server.md5(_server.string_agg(_one.c.row_version, _versions)),
    type_coerce(time_column(_first), UTCDateTime).label("first_time"),
    time_text(_first).label("first_time_text"),
    type_coerce(time_column(_last), UTCDateTime).label("last_time"),
    time_text(_last).label("last_time_text"),
    _server.clock_timestamp(type_=Instant()).label("now"),
).select_from(_found)
_LOCK = select(functions.lock_deletions())


class ArchivedBatch(NamedTuple):
    """Messages that are in an archive, and were not deleted yet.

    Attributes:
        positions: their global positions, ascending.
        first_time: the earliest of their times; None if Python can't represent it.
        last_time: the latest of their times.
        versions: identifies what they contained.
        file: the archive's file.
    """

    positions: list[int]
    first_time: datetime | None
    last_time: datetime | None
    versions: str
    file: ArchiveFile


def archive_batch(
    db: Database, location: Location, format_: str, category: str, positions: Sequence[int]
) -> ArchivedBatch:
    """Write messages to a new file, read it back, and write its manifest.

    If the messages are too large for one file, only the first ones are written. Nothing is locked:
    call `is_unchanged` before you delete them.

    Args:
        db: a session or connection in a transaction at READ COMMITTED.
        location: the archive.
        format_: the format of the file.
        category: the category of the messages.
        positions: the global positions of the messages.

    Raises:
        ArchiveError: the file can't be written, or is not read back as it was written.
        InvalidArgument: a package that the format needs is missing.
    """
    rows = execute(db, _CHUNKS, {"positions": list(positions)}, WRITES)
    chunks = [sorted(row[0]) for row in rows]
    written = [position for chunk in chunks for position in chunk]
    versions, first, first_text, last, last_text, now = _state(db, written)
    encoded, number = encoder(format_), 0
    for chunk in chunks:
        found = raw_messages(execute_raw(db, _READ, {"positions": chunk}, WRITES))
        number += len(found)
        _blocking(db, partial(encoded.add, found))
    content = _blocking(db, encoded.finish)
    name = f"{written[0]:012}-{written[-1]:012}-{uuid4().hex[:8]}.{encoded.suffix}"
    file = ArchiveFile(
        path=f"{category_folder(category)}/{name}",
        category=category,
        format=format_,
        messages=number,
        first_global_position=written[0],
        last_global_position=written[-1],
        first_time=_shown(first, first_text),
        last_time=_shown(last, last_text),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        written_at=now,
    )
    _blocking(db, partial(_write, location, file, content))
    return ArchivedBatch(written, first, last, versions, file)


def is_unchanged(db: Database, batch: ArchivedBatch) -> bool:
    """Return whether the messages are stored as they were archived.

    They can't be deleted, changed or restored by others until the transaction ends.
    """
    execute(db, _LOCK, {}, WRITES)
    versions: str | None = _state(db, batch.positions)[0]
    return versions == batch.versions


def _state(db: Database, positions: list[int]) -> Any:
    return execute(db, _STATE, {"positions": positions}, WRITES)[0]


def _write(location: Location, file: ArchiveFile, content: bytes) -> None:
    location.write(file.path, content)
    read = location.read(file.path)
    if read != content:
        raise ArchiveError(f"{location.url}/{file.path} was not read back as it was written")
    check(file, read)
    location.write(file.path + SUFFIX, file.content)


def _shown(time: datetime | None, text: str) -> str:
    return shown_time(text if time is None else time.replace(tzinfo=None))


def _blocking(db: Database, call: Callable[[], _T]) -> _T:
    """Call a function that may take long; with an async driver, in a thread."""
    if not dialect_of(db).is_async:
        return call()
    from sqlalchemy.util import await_only

    return await_only(asyncio.to_thread(call))
