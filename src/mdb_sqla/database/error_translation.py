"""Translation of server errors into this package's errors.

The store's functions raise SQLSTATE P0001 for every kind of error, like Message DB, because its
clients rely on it. The field CONSTRAINT contains the kind, the field DETAIL the values as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from mdb_sqla import errors
from mdb_sqla.database.error_fields import Diagnostics, diagnostics_of
from mdb_sqla.database.sqlstates import conflict_of

__all__ = ["translated"]

_RAISED = "P0001"
_KINDS: dict[str, type[errors.Refusal]] = {
    "append_condition_failed": errors.AppendConditionFailed,
    "condition_not_activated": errors.ConditionNotActivated,
    "data_exists": errors.DataExists,
    "duplicate_message_id": errors.DuplicateMessageId,
    "invalid_consumer_group": errors.InvalidConsumerGroup,
    "invalid_correlation": errors.InvalidCorrelation,
    "messages_protected": errors.MessagesProtected,
    "not_a_category": errors.NotACategory,
    "not_a_stream": errors.NotAStream,
    "not_offered": errors.NotOffered,
    "read_not_exact": errors.ReadNotExact,
    "restore_refused": errors.RestoreRefused,
    "unrecognized_store": errors.UnrecognizedStore,
    "wrong_expected_version": errors.WrongExpectedVersion,
}
# A Message DB store that is not adopted yet raises errors with the same texts but without fields.
_TEXTS = [
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        (
            errors.WrongExpectedVersion,
            r"Wrong expected version: (?P<expected_version>\S+) "
            r"\(Stream: (?P<stream_name>.*), Stream Version: (?P<stream_version>-?\d+)\)",
        ),
        (errors.NotAStream, r"Must be a stream name: (?P<stream_name>.*)"),
        (errors.NotACategory, r"Must be a category: (?P<category>.*)"),
        (
            errors.InvalidCorrelation,
            r"Correlation must be a category \(Correlation: (?P<correlation>.*)\)",
        ),
        (
            errors.InvalidConsumerGroup,
            r"Consumer group .*\(Consumer Group Member: (?P<member>\S+), "
            r"Consumer Group Size: (?P<size>\S+)\)",
        ),
        (errors.ConditionNotActivated, r"Retrieval with SQL condition is not activated"),
    )
]
_NUMBERS = {"expected_version", "stream_version", "member", "size"}

_SEQUENCE_BEHIND = re.compile(r"\bmessages_pkey\b")
_DUPLICATE = re.compile(r"\bmessages_id\b")
_DUPLICATE_ID = re.compile(r"\(id\)=\(([0-9a-f-]{36})\)")

_MISSING = {"42883", "42P01", "42704"}
"""SQLSTATEs of an unknown function, table and type."""

_MISSING_COLUMN = "42703"

_STORE_NAME = (
    r"(acquire_lock|cardinal_id|category|check_(conditions|deletions)|deleted_positions|deletions"
    r"|delete_messages|erase_stream|expired_messages|finish_restore|get_(\w+_)?messages?|hash_64|id"
    r"|is_category|last_global_position|lock_deletions|operations|restore_messages"
    r"|retention_policies|stream_heads|subject_keys"
    r"|consumer_members|consumer_slots|consumers|dead_letters|(set_)?lock_granularity"
    r"|message_store_version|messages|prepare_copy|read_bound|refuse_change|settled_position"
    r"|stream_version|unmet_condition"
    r"|write_(conditionally|messages?)|\w+_summary)\b"
)
_STORE_OBJECT = re.compile(rf"\.{_STORE_NAME}")
_STORE_COLUMN = re.compile(r"\bpaused_(at|by)\b")
_IN_STORE_FUNCTION = re.compile(rf'[^\n]*?(?P<schema>(\w+|"([^"]|"")+")\.){_STORE_NAME}\(')

_MAX_LOCKS = "max_locks_per_transaction"
_INSUFFICIENT_PRIVILEGE = "42501"
_ROLES = (
    "Members of message_store_reader can read, members of message_store_writer can also write, and "
    "members of message_store_consumer can also run consumers; only the owner can install, upgrade "
    "or change a store. See docs/privileges.md"
)
_INSTALL = (
    'call migrations.upgrade("0005") in one of your Alembic revisions and run alembic upgrade '
    "head, or run mdb upgrade"
)


@contextmanager
def translated() -> Iterator[None]:
    """Translate rejections by the server into this package's errors.

    Other errors, such as a lost connection, pass through as SQLAlchemy raised them.
    """
    try:
        yield
    except DBAPIError as error:
        fields = diagnostics_of(error)
        refusal = conflict_of(error) or _raised_by_store(fields) or _raised_by_server(fields)
        if refusal is None:
            raise
        raise refusal from error


def _raised_by_store(fields: Diagnostics) -> errors.Refusal | None:
    """Return the error if one of the store's functions or revisions raised it."""
    if fields.sqlstate != _RAISED:
        return None
    kind = _KINDS.get(fields.constraint) if fields.schema else None
    # A trigger of the application may also set a constraint; its detail is not a JSON object.
    if kind is not None and fields.detail[:1] in {"", "{"}:
        refusal = kind(fields.message, **json.loads(fields.detail or "{}"))
        if fields.hint:
            refusal.add_note(fields.hint)
        return refusal
    for kind, pattern in _TEXTS:
        if match := pattern.fullmatch(fields.message):
            values: dict[str, object] = match.groupdict()
            for name in _NUMBERS & values.keys():
                values[name] = None if values[name] == "<NULL>" else int(str(values[name]))
            return kind(fields.message, **values)
    return None


def _raised_by_server(fields: Diagnostics) -> errors.Refusal | None:
    """Return the error if PostgreSQL itself rejected the statement."""
    sqlstate, text = fields.sqlstate, fields.message
    if sqlstate == "23505" and _DUPLICATE.search(text):
        id_ = match[1] if (match := _DUPLICATE_ID.search(fields.detail)) else None
        which = f"id {id_}" if id_ else "the same id"
        return errors.DuplicateMessageId(f"A message with {which} is already stored", id=id_)
    if sqlstate == "23505" and _SEQUENCE_BEHIND.search(text) and fields.table == "messages":
        return errors.SequenceBehind(
            "The sequence of global positions is behind the stored messages, for example after "
            f"logical replication; mdb verify prints the setval() call that fixes it: {text}"
        )
    if sqlstate == "53200" and _MAX_LOCKS in fields.hint:
        return errors.TooManyLocks(
            "PostgreSQL's lock table is full: write to fewer categories per transaction, write "
            "many messages with one call of write_messages() or load() instead of one by one, or "
            f"increase {_MAX_LOCKS}: {text}"
        )
    if sqlstate == _INSUFFICIENT_PRIVILEGE:
        return errors.NotPermitted(f"{text}. {fields.hint or _ROLES}")
    if (
        sqlstate == "3F000"
        or (sqlstate in _MISSING and _STORE_OBJECT.search(text))
        or (sqlstate == _MISSING_COLUMN and _STORE_COLUMN.search(text))
    ):
        in_function = _IN_STORE_FUNCTION.match(fields.context)
        if in_function and in_function["schema"] not in text:
            return errors.StoreNotInstalled(
                f"Schema {in_function['schema'][:-1]} of the message store was renamed, but its "
                "functions still refer to the old name; rename it back (ALTER SCHEMA ... RENAME "
                f"TO ...): {text}"
            )
        return errors.StoreNotInstalled(
            "The message store is not installed in this database and schema, or is not up to date; "
            f"{_INSTALL}: {text}"
        )
    return None
