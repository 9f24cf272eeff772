"""Inserts messages that have a history: with the times, and the global positions, that they had."""

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
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, REGCLASS

from mdb_sqla import functions
from mdb_sqla.admin.sampling import SETTINGS
from mdb_sqla.database.execution import WRITES, check_written, ddl, execute, qualified
from mdb_sqla.database.lock_timeout import lock_timeout
from mdb_sqla.database.refusals import translated
from mdb_sqla.errors import DuplicateMessageId
from mdb_sqla.tables import messages

__all__ = ["Entry", "Inserting"]

_PATIENCE = 10.0  # seconds


class Entry(NamedTuple):
    """A message, and its text as a JSON object, which only the server reads into the table.

    A Python number would not keep all digits.
    """

    id: str
    stream_name: str
    global_position: int
    text: str


# The owner of the store runs these, on a search path where others may have put functions and
# operators that match better: so functions are named with their schema, and types are those of
# PostgreSQL's own operators.

# A document is an array of arrays: what is known here, then the message.
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
    ).label("is_the_same"),
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
        -1,
    ),
)


class Inserting:
    """Inserts messages in the connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name = qualified(connection, "messages_global_position_seq")

    def stored(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Return the global positions, by id, of those that are stored already.

        Raises:
            DuplicateMessageId: another message has the id of one.
        """
        self._set()
        document = _written((entry.text,) for entry in entries)
        rows = self._execute(_STORED, document=document)
        for row in rows:
            if not row.is_the_same:
                raise DuplicateMessageId(
                    f"Message id is taken by a message with other content: {row.id} "
                    f"(Stream: {row.stream_name})",
                    id=row.id,
                )
        return {row.id: row.global_position for row in rows}

    def keep_others_out(self) -> None:
        """Wait for all who write, and let nobody write or read all before the transaction ends.

        Raises:
            StoreBusy: they have not ended in some seconds.
        """
        refusal = (
            "Others write to the store, so that global positions can't be kept: for "
            f"{_PATIENCE:g} s there was always a transaction open that had; mdb summary shows which"
        )
        with lock_timeout(self._connection, _PATIENCE, refusal):
            # The barrier of `set_lock_granularity`.
            self._sequence("NO CYCLE")

    def newest(self) -> tuple[int, int]:
        """Return the global positions of the newest message and the last one drawn; 0 for none."""
        ((newest, drawn),) = self._execute(
            select(
                func.coalesce(func.pg_catalog.max(messages.c.global_position), 0),
                functions.last_global_position(),
            )
        )
        return newest, drawn

    def has(self, global_position: int, id_: str) -> bool:
        """Whether a message is where it was."""
        place = select(messages.c.id).where(
            messages.c.global_position == global_position, messages.c.id == cast(id_, Uuid)
        )
        return bool(self._execute(place))

    def number_of_messages(self, most: int) -> int:
        """Return how many messages there are; no more are counted than `most`."""
        some = select(messages.c.global_position).limit(most).subquery()
        ((number,),) = self._execute(select(func.count()).select_from(some))
        return int(number)

    def as_they_were(self, entries: Sequence[Entry]) -> None:
        """Insert messages at their global positions, and set the sequence to the last of them.

        Others are to be kept out.
        """
        self._set()
        names = list({entry.stream_name for entry in entries})
        versions = dict(map(tuple, self._execute(_VERSIONS, stream_names=names)))
        self._insert(entries, versions, [entry.global_position for entry in entries])
        # Unlike setval(), this is rolled back with the messages, should it come to that.
        self._sequence(f"RESTART {entries[-1].global_position}")
        self._execute(select(func.pg_catalog.nextval(cast(self._name, REGCLASS))))

    def behind(self, entries: Sequence[Entry]) -> list[int]:
        """Insert messages behind all others, as any writer does; returns their global positions."""
        names = list(dict.fromkeys(entry.stream_name for entry in entries))
        ((versions, positions),) = self._execute(_PREPARE, stream_names=names, number=len(entries))
        self._insert(entries, dict(zip(names, versions, strict=True)), positions)
        return list(positions)

    def _insert(
        self, entries: Sequence[Entry], versions: dict[Any, int], global_positions: Sequence[int]
    ) -> None:
        known = []
        for entry, global_position in zip(entries, global_positions, strict=True):
            versions[entry.stream_name] = position = versions[entry.stream_name] + 1
            known.append((position, global_position, entry.text))
        with translated():
            inserted = self._connection.execute(
                _INSERT,
                {"document": _written(known)},
                execution_options={"preserve_rowcount": True},
            )
        check_written(inserted.rowcount, len(known))

    def _set(self) -> None:
        # An index for each message: the planner knows little of a table that grows like this.
        settings = (
            func.pg_catalog.set_config(name, value, True) for name, value in SETTINGS.items()
        )
        self._execute(select(*settings))

    def _sequence(self, action: str) -> None:
        self._connection.execute(ddl(f"ALTER SEQUENCE %(name)s {action}", name=self._name))

    def _execute(self, statement: Any, **parameters: Any) -> Sequence[Any]:
        return execute(self._connection, statement, parameters, WRITES)


def _written(values: Iterable[Sequence[object]]) -> str:
    return "[" + ",".join("[" + ",".join(map(str, each)) + "]" for each in values) + "]"
