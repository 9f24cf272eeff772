"""Inserts of messages with their original times, and optionally original global positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    BigInteger,
    Connection,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, REGCLASS, insert

from mdb_sqla import functions
from mdb_sqla.admin.sampled_counts import SETTINGS
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.execution import WRITES, check_written, ddl, execute, qualified
from mdb_sqla.database.lock_timeout import lock_timeout
from mdb_sqla.errors import DuplicateMessageId
from mdb_sqla.tables import deleted_positions, messages, stream_heads
from mdb_sqla.words.stream_name import NO_STREAM

__all__ = ["Entry", "HistoryInsert"]

_LOCK_TIMEOUT = 10.0  # seconds


class Entry(NamedTuple):
    """A message with its JSON text, which only the server parses: Python would lose digits."""

    id: str
    stream_name: str
    position: int
    global_position: int
    text: str


# These statements run as the store's owner, on a search path where other roles may have created
# functions and operators that match better. So functions are qualified, and operands are cast to
# the types of PostgreSQL's operators.

# A document is an array of arrays: values known here, then the message.
_document = (
    func.pg_catalog.jsonb_array_elements(cast(bindparam("document", type_=Text), JSONB))
    .table_valued(column("value", JSONB))
    .render_derived()
)
_message = _document.c.value[-1]


def _text(key: str) -> Any:
    return _message[key].astext


_id = cast(_text("id"), Uuid)

_STORED = select(
    cast(messages.c.id, Text).label("id"),
    messages.c.stream_name,
    messages.c.global_position,
    and_(
        cast(messages.c.stream_name, Text) == _text("stream_name"),
        cast(messages.c.type, Text) == _text("type"),
        messages.c.data.is_not_distinct_from(_message["data"]),
        messages.c.metadata.is_not_distinct_from(_message["metadata"]),
    ).label("is_same"),
).join_from(_document, messages, messages.c.id == _id)

_INSERT = insert(messages).from_select(
    ["position", "global_position", "time", "stream_name", "type", "data", "metadata", "id"],
    select(
        cast(_document.c.value[0].astext, BigInteger),
        cast(_document.c.value[1].astext, BigInteger),
        func.pg_catalog.timezone("utc", cast(_text("time"), TIMESTAMP(timezone=True))),
        _text("stream_name"),
        _text("type"),
        _message["data"],
        _message["metadata"],
        _id,
    ),
)

_PREPARE = select(functions.prepare_copy(bindparam("stream_names"), bindparam("number")))

_stream_names = func.pg_catalog.unnest(cast(bindparam("stream_names"), ARRAY(Text))).column_valued(
    "name"
)
_VERSIONS = select(
    _stream_names,
    func.coalesce(
        select(func.pg_catalog.max(messages.c.position))
        .where(cast(messages.c.stream_name, Text) == _stream_names)
        .scalar_subquery(),
        select(stream_heads.c.version)
        .where(cast(stream_heads.c.stream_name, Text) == _stream_names)
        .scalar_subquery(),
        -1,
    ),
)


class HistoryInsert:
    """Inserts messages in the connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name = qualified(connection, "messages_global_position_seq")

    def stored(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Return the global positions, by id, of the entries that are already stored.

        Raises:
            DuplicateMessageId: another message has the id of an entry.
        """
        self._set_planner_options()
        document = _document_text((entry.text,) for entry in entries)
        rows = self._execute(_STORED, document=document)
        for row in rows:
            if not row.is_same:
                raise DuplicateMessageId(
                    f"Message id is taken by a message with other content: {row.id} "
                    f"(Stream: {row.stream_name})",
                    id=row.id,
                )
        return {row.id: row.global_position for row in rows}

    def lock_out_others(self) -> None:
        """Wait for other writers, then block new writers, and reads of all messages.

        They are blocked until the transaction ends.

        Raises:
            StoreBusy: other writers were still open after the lock timeout.
        """
        timeout_message = (
            "Can't preserve global positions: other open write transactions did not end within "
            f"{_LOCK_TIMEOUT:g} s; mdb summary shows them"
        )
        with lock_timeout(self._connection, _LOCK_TIMEOUT, timeout_message):
            # The same lock that `set_lock_granularity` acquires.
            self._alter_sequence("NO CYCLE")

    def newest(self) -> tuple[int, int]:
        """Return the newest message's global position and the last position assigned, or 0."""
        ((newest, drawn),) = self._execute(
            select(
                func.coalesce(func.pg_catalog.max(messages.c.global_position), 0),
                functions.last_global_position(),
            )
        )
        return newest, drawn

    def deleted_up_to(self) -> int:
        """Return the last global position that a policy has deleted; 0 if none was."""
        last = func.coalesce(func.pg_catalog.max(deleted_positions.c.global_position), 0)
        ((position,),) = self._execute(select(last))
        return int(position)

    def number_of_messages(self, limit: int) -> int:
        """Return the number of messages, counting up to `limit`."""
        some = select(messages.c.global_position).limit(limit).subquery()
        ((number,),) = self._execute(select(func.count()).select_from(some))
        return int(number)

    def at_original_positions(self, entries: Sequence[Entry]) -> None:
        """Insert messages at their global positions, and advance the sequence to the last one.

        Call `lock_out_others` first.
        """
        self._set_planner_options()
        names = list({entry.stream_name for entry in entries})
        versions = dict(map(tuple, self._execute(_VERSIONS, stream_names=names)))
        self._insert(entries, versions, [entry.global_position for entry in entries])
        # Unlike setval(), this is transactional.
        self._alter_sequence(f"RESTART {entries[-1].global_position}")
        self._execute(select(func.pg_catalog.nextval(cast(self._name, REGCLASS))))

    def at_new_positions(self, entries: Sequence[Entry]) -> list[int]:
        """Append messages like an ordinary write, and return their global positions."""
        names = list(dict.fromkeys(entry.stream_name for entry in entries))
        ((versions, positions),) = self._execute(_PREPARE, stream_names=names, number=len(entries))
        self._insert(entries, dict(zip(names, versions, strict=True)), positions)
        return list(positions)

    def _insert(
        self, entries: Sequence[Entry], versions: dict[Any, int], global_positions: Sequence[int]
    ) -> None:
        self._begin_truncated(entries, versions)
        known = []
        for entry, global_position in zip(entries, global_positions, strict=True):
            versions[entry.stream_name] = position = versions[entry.stream_name] + 1
            known.append((position, global_position, entry.text))
        with translated():
            inserted = self._connection.execute(
                _INSERT,
                {"document": _document_text(known)},
                execution_options={"preserve_rowcount": True},
            )
        check_written(inserted.rowcount, len(known))

    def _begin_truncated(self, entries: Sequence[Entry], versions: dict[Any, int]) -> None:
        """Let new streams whose first messages were deleted begin at their original positions."""
        first: dict[str, int] = {}
        for entry in entries:
            first.setdefault(entry.stream_name, entry.position)
        heads = {
            name: position - 1
            for name, position in first.items()
            if position > 0 and versions[name] == NO_STREAM
        }
        if heads:
            rows = [{"stream_name": name, "version": heads[name]} for name in sorted(heads)]
            # Lets consumers that begin with the first message know that others are missing.
            marks = [
                {"category": category, "global_position": 1}
                for category in sorted({name.partition("-")[0] for name in heads})
            ]
            with translated():
                self._connection.execute(insert(stream_heads), rows)
                self._connection.execute(insert(deleted_positions).on_conflict_do_nothing(), marks)
            versions.update(heads)

    def _set_planner_options(self) -> None:
        # Force index lookups: the statistics lag behind a table that grows this fast.
        settings = (
            func.pg_catalog.set_config(name, value, True) for name, value in SETTINGS.items()
        )
        self._execute(select(*settings))

    def _alter_sequence(self, action: str) -> None:
        self._connection.execute(ddl(f"ALTER SEQUENCE %(name)s {action}", name=self._name))

    def _execute(self, statement: Any, **parameters: Any) -> Sequence[Any]:
        return execute(self._connection, statement, parameters, WRITES)


def _document_text(values: Iterable[Sequence[object]]) -> str:
    return "[" + ",".join("[" + ",".join(map(str, each)) + "]" for each in values) + "]"
