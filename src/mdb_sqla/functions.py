"""A typed construct for every server function, for use in any SQLAlchemy statement.

Arguments can be values, bind parameters or SQL expressions. Functions that return messages are
table-valued: select from them, join them with other tables, or use `.lateral()`. Their columns are
those of the composite type `message`.

    history = get_stream_messages("order-1")
    select(orders, history.c.type).join(history, history.c.position == orders.c.version)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Text, column
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql.functions import Function
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import NullType

from mdb_sqla.column_types import UTCDateTime, UUIDText
from mdb_sqla.function_call import call, message_table

__all__ = [
    "acquire_lock",
    "cardinal_id",
    "category",
    "check_deletions",
    "delete_messages",
    "erase_stream",
    "expired_messages",
    "finish_restore",
    "get_category_messages",
    "get_last_stream_message",
    "get_messages",
    "get_query_messages",
    "get_stream_messages",
    "hash_64",
    "id",
    "is_category",
    "last_global_position",
    "lock_deletions",
    "lock_granularity",
    "message_store_version",
    "prepare_copy",
    "restore_messages",
    "set_lock_granularity",
    "settled_position",
    "stream_version",
    "unmet_condition",
    "write_conditionally",
    "write_message",
    "write_messages",
]

_TEXT = Text()
_TEXTS = ARRAY(Text)
_BIGINT = BigInteger()
_POSITIONS = ARRAY(BigInteger)
_JSON = JSONB(none_as_null=True)


def category(stream_name: Any) -> Function[str]:
    """The category of a stream name: the part before the first `-`."""
    return call("category", _TEXT, (stream_name, _TEXT))


def id(stream_name: Any) -> Function[str | None]:  # noqa: A001
    """The id of a stream name: the part after the first `-`; NULL for a category."""
    return call("id", _TEXT, (stream_name, _TEXT))


def cardinal_id(stream_name: Any) -> Function[str | None]:
    """The first part of the id of a stream name; NULL for a category."""
    return call("cardinal_id", _TEXT, (stream_name, _TEXT))


def is_category(stream_name: Any) -> Function[bool]:
    """Whether a name has no id, and so is the name of a category."""
    return call("is_category", Boolean(), (stream_name, _TEXT))


def hash_64(value: Any) -> Function[int]:
    """The first 64 bits of the MD5 of a text, as a signed integer."""
    return call("hash_64", _BIGINT, (value, _TEXT))


def message_store_version() -> Function[str]:
    """The version of the server contract: 1.3.0."""
    return call("message_store_version", _TEXT)


def acquire_lock(stream_name: Any) -> Function[int]:
    """Lock the category of a stream until the transaction ends; return the key of the lock."""
    return call("acquire_lock", _BIGINT, (stream_name, _TEXT))


def stream_version(stream_name: Any) -> Function[int | None]:
    """The position of a stream's last message, even if it was deleted; NULL if there was none."""
    return call("stream_version", _BIGINT, (stream_name, _TEXT))


def write_message(
    id: Any,  # noqa: A002
    stream_name: Any,
    type: Any,  # noqa: A002
    data: Any,
    metadata: Any = None,
    expected_version: Any = None,
) -> Function[int]:
    """Write a message; return its position in the stream."""
    return call(
        "write_message",
        _BIGINT,
        (id, UUIDText()),
        (stream_name, _TEXT),
        (type, _TEXT),
        (data, _JSON),
        (metadata, _JSON),
        (expected_version, _BIGINT),
    )


def write_messages(
    messages: Any, expected_versions: Any = None, idempotent: Any = None
) -> TableValuedAlias:
    """Write the messages in a JSON document; return a row with the positions of each.

    `messages` is `[{"id", "stream_name", "type", "data", "metadata"}, ...]`, and
    `expected_versions` is `{"stream name": version, ...}`. Messages that are already stored are
    skipped, unless `idempotent` is false.
    """
    idempotent = True if idempotent is None else idempotent
    return call(
        "write_messages",
        _TEXT,
        (messages, _JSON),
        (expected_versions, _JSON),
        (idempotent, Boolean()),
    ).table_valued(
        column("position", BigInteger),
        column("global_position", BigInteger),
        name="write_messages",
    )


def write_conditionally(
    messages: Any, conditions: Any, expected_versions: Any = None, idempotent: Any = None
) -> TableValuedAlias:
    """Write messages like `write_messages`, if all append conditions are met.

    `conditions` is `[{"query": [...], "after": global position}, ...]`: no message may match the
    query, as for `get_query_messages`, after the position. Conditions are ignored if all messages
    are already stored, unless `idempotent` is false.
    """
    idempotent = True if idempotent is None else idempotent
    return call(
        "write_conditionally",
        _TEXT,
        (messages, _JSON),
        (conditions, _JSON),
        (expected_versions, _JSON),
        (idempotent, Boolean()),
    ).table_valued(
        column("position", BigInteger),
        column("global_position", BigInteger),
        name="write_conditionally",
    )


def prepare_copy(stream_names: Any, number: Any) -> TableValuedAlias:
    """Lock streams and reserve global positions, to insert messages into the table directly.

    Returns one row with two arrays: the streams' versions, in the order of the names, and the
    global positions.
    """
    return call("prepare_copy", _TEXT, (stream_names, _TEXTS), (number, _BIGINT)).table_valued(
        column("versions", ARRAY(BigInteger)),
        column("global_positions", ARRAY(BigInteger)),
        name="prepare_copy",
    )


def unmet_condition(conditions: Any, stream_names: Any) -> TableValuedAlias:
    """Lock what a write with conditions locks, and return the first condition that is not met.

    Call it before `prepare_copy` for the same streams. Returns one row with the position of the
    condition, `after`, and the global position of the first message that matches after it. Both are
    NULL if all conditions are met.
    """
    return call("unmet_condition", _TEXT, (conditions, _JSON), (stream_names, _TEXTS)).table_valued(
        column("after", BigInteger),
        column("global_position", BigInteger),
        name="unmet_condition",
    )


def check_deletions(stream_names: Any) -> Function[None]:
    """Check that no messages of these streams were deleted after the transaction's snapshot.

    Call it after inserting into the table, unless the isolation level is READ COMMITTED. It fails
    with a serialization failure.
    """
    return call("check_deletions", NullType(), (stream_names, _TEXTS))


def delete_messages(global_positions: Any, keep_versions: Any = None) -> Function[int]:
    """Delete messages, of each stream from its beginning, and return their number.

    A stream without messages continues at its next position, unless `keep_versions` is false.
    """
    keep_versions = True if keep_versions is None else keep_versions
    return call(
        "delete_messages", _BIGINT, (global_positions, _POSITIONS), (keep_versions, Boolean())
    )


def erase_stream(stream_name: Any, reason: Any, whole: Any = None) -> TableValuedAlias:
    """Erase the contents of a stream's messages, or delete the `whole` stream, and log it.

    Returns one row: the number of messages, and the first and last of their global positions.
    """
    whole = False if whole is None else whole
    return call(
        "erase_stream", _TEXT, (stream_name, _TEXT), (reason, _TEXT), (whole, Boolean())
    ).table_valued(
        column("number", BigInteger),
        column("first_global_position", BigInteger),
        column("last_global_position", BigInteger),
        name="erase_stream",
    )


def expired_messages(
    category: Any,
    older_than: Any = None,
    keep_last: Any = None,
    up_to: Any = None,
    after: Any = None,
    batch_size: Any = None,
    counting: Any = None,
) -> TableValuedAlias:
    """The next messages of a category that a retention policy does not keep, in one row."""
    return call(
        "expired_messages",
        _TEXT,
        (category, _TEXT),
        (older_than, UTCDateTime()),
        (keep_last, _BIGINT),
        (up_to, _BIGINT),
        (0 if after is None else after, _BIGINT),
        (batch_size, _BIGINT),
        (False if counting is None else counting, Boolean()),
    ).table_valued(
        column("number", BigInteger),
        column("global_positions", _POSITIONS),
        column("first_global_position", BigInteger),
        column("last_global_position", BigInteger),
        column("first_time", UTCDateTime),
        column("last_time", UTCDateTime),
        column("scanned", BigInteger),
        name="expired_messages",
    )


def lock_deletions() -> Function[None]:
    """Let no other transaction delete, change or restore messages until this one ends."""
    return call("lock_deletions", NullType())


def restore_messages(category: Any, lines: Any) -> Function[int]:
    """Put archived messages of a category back, from JSON lines; return their number.

    Messages that are stored are skipped. Call `finish_restore` in the same transaction.
    """
    return call("restore_messages", _BIGINT, (category, _TEXT), (lines, _TEXT))


def finish_restore(category: Any) -> Function[None]:
    """Check and complete a restore of messages of a category."""
    return call("finish_restore", NullType(), (category, _TEXT))


def lock_granularity() -> Function[str]:
    """What a writer locks: `category` or `stream`."""
    return call("lock_granularity", _TEXT)


def set_lock_granularity(granularity: Any) -> Function[None]:
    """Set the lock granularity to `category` or `stream`; waits for open write transactions."""
    return call("set_lock_granularity", NullType(), (granularity, _TEXT))


def last_global_position() -> Function[int]:
    """The last global position that was assigned, even if its transaction is still open."""
    return call("last_global_position", _BIGINT)


def settled_position(category: Any = None) -> Function[int]:
    """The global position up to which no message can still appear, in a category or in all."""
    return call("settled_position", _BIGINT, (category, _TEXT))


def get_stream_messages(
    stream_name: Any, position: Any = None, batch_size: Any = None, condition: Any = None
) -> TableValuedAlias:
    """The messages of a stream in order, starting at a position."""
    return message_table(
        "get_stream_messages",
        (stream_name, _TEXT),
        (position, _BIGINT),
        (batch_size, _BIGINT),
        (condition, _TEXT),
    )


def get_category_messages(
    category: Any,
    position: Any = None,
    batch_size: Any = None,
    correlation: Any = None,
    consumer_group_member: Any = None,
    consumer_group_size: Any = None,
    condition: Any = None,
) -> TableValuedAlias:
    """The messages of a category in order, starting at a global position."""
    return message_table(
        "get_category_messages",
        (category, _TEXT),
        (position, _BIGINT),
        (batch_size, _BIGINT),
        (correlation, _TEXT),
        (consumer_group_member, _BIGINT),
        (consumer_group_size, _BIGINT),
        (condition, _TEXT),
    )


def get_messages(
    categories: Any = None,
    position: Any = None,
    batch_size: Any = None,
    correlation: Any = None,
    consumer_group_member: Any = None,
    consumer_group_size: Any = None,
    condition: Any = None,
) -> TableValuedAlias:
    """The messages of several categories, or of all, in order, starting at a global position."""
    return message_table(
        "get_messages",
        (categories, _TEXTS),
        (position, _BIGINT),
        (batch_size, _BIGINT),
        (correlation, _TEXT),
        (consumer_group_member, _BIGINT),
        (consumer_group_size, _BIGINT),
        (condition, _TEXT),
    )


def get_query_messages(
    query: Any, position: Any = None, batch_size: Any = None, up_to: Any = None
) -> TableValuedAlias:
    """The messages that match a query, in order, starting at a global position.

    `query` is `[{"categories": [...], "types": [...], "tags": [...]}, ...]`. A message matches an
    item by one of the categories, one of the types, and all tags; it must match any of the items.
    `up_to` is a position that is settled in the categories; the last one by default.
    """
    return message_table(
        "get_query_messages",
        (query, _JSON),
        (position, _BIGINT),
        (batch_size, _BIGINT),
        (up_to, _BIGINT),
    )


def get_last_stream_message(stream_name: Any, type: Any = None) -> TableValuedAlias:  # noqa: A002
    """The last message of a stream, or its last one of a type; no row if there is none."""
    return message_table("get_last_stream_message", (stream_name, _TEXT), (type, _TEXT))
