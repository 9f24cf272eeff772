"""A message with what caused it and what it caused, as its metadata records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, and_, func, select

from mdb_sqla.database.execution import WRITES, execute
from mdb_sqla.tables import messages
from mdb_sqla.web.message_rows import COLUMNS, MessageRow, is_small, shown_json, shown_name

__all__ = ["MAX_EFFECTS", "WINDOW", "Effect", "StoredFields", "Story", "find_message", "read_story"]

WINDOW = 20_000
"""The number of global positions after a message to search for its effects at a time.

No index contains the cause of a message, so that it costs nothing to write one."""

MAX_EFFECTS = 200
"""The maximum number of effects to show."""

_MAX_CAUSES = 50
_MAX_DIGITS = 18


class StoredFields(NamedTuple):
    """A message with its contents, which are truncated if they are very large.

    Attributes:
        row: the message.
        id: its id.
        data: its data as JSON; None without data.
        metadata: its metadata as JSON; None without metadata.
        correlation: the correlation stream.
        reply_to: the reply stream.
    """

    row: MessageRow
    id: UUID
    data: str | None
    metadata: str | None
    correlation: str | None
    reply_to: str | None


@dataclass
class Effect:
    """A message that another one caused, and the messages that it caused in turn."""

    row: MessageRow
    effects: list[Effect] = field(default_factory=list)


@dataclass(frozen=True)
class Story:
    """What caused a message, and what it caused.

    Attributes:
        causes: the chain of causes, first cause first.
        missing_cause: the stream and position of the first cause, if it is not in the store.
        effects: the messages that it caused, with their effects.
        searched_to: the global position up to which effects were searched for; None if all messages
            of the store were.
        is_truncated: whether there are more effects than are shown.
    """

    causes: list[MessageRow]
    missing_cause: tuple[str, int] | None
    effects: list[Effect]
    searched_to: int | None
    is_truncated: bool


_metadata = messages.c.metadata
_cause_stream = shown_name(_metadata["causationMessageStreamName"].astext)
_cause_position = func.left(_metadata["causationMessagePosition"].astext, _MAX_DIGITS + 1)


def find_message(db: Connection, at: int | UUID) -> StoredFields | None:
    """Return the message at a global position, or with an id; None if there is none."""
    statement = select(
        *COLUMNS,
        messages.c.id,
        shown_json(messages.c.data),
        shown_json(_metadata),
        shown_name(_metadata["correlationStreamName"].astext),
        shown_name(_metadata["replyStreamName"].astext),
    )
    key = messages.c.id if isinstance(at, UUID) else messages.c.global_position
    rows = execute(db, statement.where(key == at), {}, WRITES)
    if not rows:
        return None
    (found,) = rows
    return StoredFields(MessageRow._make(found[: len(COLUMNS)]), *found[len(COLUMNS) :])


def read_story(db: Connection, of: MessageRow, *, windows: int = 1) -> Story:
    """Return what caused a message, and what it caused.

    Args:
        db: a connection.
        of: the message.
        windows: how far to search for effects, in windows of `WINDOW` global positions.
    """
    causes, missing = _causes(db, of)
    last = execute(db, select(func.max(messages.c.global_position)), {}, WRITES)[0][0]
    end = of.global_position + windows * WINDOW
    effects, is_truncated = _effects(db, of, end)
    return Story(causes, missing, effects, end if end < last else None, is_truncated)


def _with_cause() -> Select[Any]:
    return select(*COLUMNS, _cause_stream.label("stream"), _cause_position.label("place"))


def _causes(db: Connection, of: MessageRow) -> tuple[list[MessageRow], tuple[str, int] | None]:
    causes: list[MessageRow] = []
    is_one = messages.c.global_position == of.global_position
    cause: tuple[str, int] | None = None
    seen = {(of.stream_name, of.position)}
    while len(causes) < _MAX_CAUSES:
        rows = execute(db, _with_cause().where(is_one), {}, WRITES)
        if not rows:
            return causes, cause
        if cause is not None:
            causes.insert(0, MessageRow._make(rows[0][: len(COLUMNS)]))
        cause = _key(rows[0].stream, rows[0].place)
        # Other clients may write anything, even a cycle.
        if cause is None or cause in seen:
            break
        seen.add(cause)
        is_one = and_(messages.c.stream_name == cause[0], messages.c.position == cause[1])
    return causes, None


def _effects(db: Connection, of: MessageRow, end: int) -> tuple[list[Effect], bool]:
    position = messages.c.global_position
    # Not the other columns: the previews of all messages of the window would be computed.
    caused = (
        select(
            position,
            messages.c.stream_name,
            messages.c.position,
            _cause_stream.label("cause_stream"),
            _cause_position.label("cause_position"),
        )
        .where(position > of.global_position, position <= end)
        .where(is_small(_metadata), _cause_stream.is_not(None))
        .order_by(position)
    )
    parents: dict[tuple[str, int], int] = {(of.stream_name, of.position): of.global_position}
    found: dict[int, int] = {}
    for row in execute(db, caused, {}, WRITES):
        cause = _key(row.cause_stream, row.cause_position)
        if cause in parents:
            if len(found) == MAX_EFFECTS:
                return _tree(db, of, found), True
            found[row.global_position] = parents[cause]
            parents[row.stream_name, row.position] = row.global_position
    return _tree(db, of, found), False


def _tree(db: Connection, of: MessageRow, parents: dict[int, int]) -> list[Effect]:
    """Return the effects as a tree, from the global position of each effect's cause."""
    statement = select(*COLUMNS).where(messages.c.global_position.in_(parents))
    rows = [MessageRow._make(row) for row in execute(db, statement, {}, WRITES)] if parents else []
    root = Effect(of)
    nodes = {of.global_position: root}
    for row in sorted(rows):
        nodes[row.global_position] = effect = Effect(row)
        nodes[parents[row.global_position]].effects.append(effect)
    return root.effects


def _key(stream: str | None, place: str | None) -> tuple[str, int] | None:
    if stream is None or place is None or not place.isdecimal() or len(place) > _MAX_DIGITS:
        return None
    return stream, int(place)
