"""What the server refuses, raised as the package's own errors.

The functions of a store raise SQLSTATE P0001 for every kind of error, as Message DB does, since its
clients rely on that. The kind is in the field CONSTRAINT, and the values are in DETAIL, as JSON.
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
    "condition_not_activated": errors.ConditionNotActivated,
    "data_exists": errors.DataExists,
    "duplicate_message_id": errors.DuplicateMessageId,
    "invalid_consumer_group": errors.InvalidConsumerGroup,
    "invalid_correlation": errors.InvalidCorrelation,
    "not_a_category": errors.NotACategory,
    "not_a_stream": errors.NotAStream,
    "read_not_exact": errors.ReadNotExact,
    "unrecognized_store": errors.UnrecognizedStore,
    "wrong_expected_version": errors.WrongExpectedVersion,
}
# A store of the original, which is not adopted yet, has the same texts and nothing else.
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

_OWN_NAME = (
    r"(acquire_lock|cardinal_id|category|get_(\w+_)?messages?|hash_64|id|is_category"
    r"|last_global_position"
    r"|consumer_members|consumer_slots|consumers|dead_letters|(set_)?lock_granularity"
    r"|message_store_version|messages|prepare_copy|settled_position|stream_version|write_messages?"
    r"|\w+_summary)\b"
)
_OWN_OBJECT = re.compile(rf"\.{_OWN_NAME}")
_IN_OWN_FUNCTION = re.compile(rf'[^\n]*?(?P<schema>(\w+|"([^"]|"")+")\.){_OWN_NAME}\(')

_MOST_LOCKS = "max_locks_per_transaction"
_INSUFFICIENT_PRIVILEGE = "42501"
_ROLES = (
    "Members of message_store_reader may read, of message_store_writer write as well, of "
    "message_store_consumer consume as well; only the owner may install, upgrade or change a "
    "store: see docs/privileges.md"
)
_INSTALL = (
    'call migrations.upgrade("0001") in a revision of yours and run alembic upgrade head, or run '
    "mdb upgrade"
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own error for each refusal of the server, from the driver's error.

    Everything else, a lost connection among it, passes through as SQLAlchemy raised it.
    """
    try:
        yield
    except DBAPIError as error:
        said = diagnostics_of(error)
        refusal = conflict_of(error) or _raised(said) or _refusal(said)
        if refusal is None:
            raise
        raise refusal from error


def _raised(said: Diagnostics) -> errors.Refusal | None:
    """Return the error that one of the store's functions or revisions raised."""
    if said.sqlstate != _RAISED:
        return None
    kind = _KINDS.get(said.constraint) if said.schema else None
    # A trigger of the application's may name a constraint, too; its detail is no JSON object.
    if kind is not None and said.detail[:1] in {"", "{"}:
        refusal = kind(said.message, **json.loads(said.detail or "{}"))
        if said.hint:
            refusal.add_note(said.hint)
        return refusal
    for kind, pattern in _TEXTS:
        if match := pattern.fullmatch(said.message):
            values: dict[str, object] = match.groupdict()
            for name in _NUMBERS & values.keys():
                values[name] = None if values[name] == "<NULL>" else int(str(values[name]))
            return kind(said.message, **values)
    return None


def _refusal(said: Diagnostics) -> errors.Refusal | None:
    """Return the error for what PostgreSQL itself refused."""
    sqlstate, text = said.sqlstate, said.message
    if sqlstate == "23505" and _DUPLICATE.search(text):
        id_ = match[1] if (match := _DUPLICATE_ID.search(said.detail)) else None
        which = f"the id {id_}" if id_ else "the same id"
        return errors.DuplicateMessageId(f"A message with {which} is stored already", id=id_)
    if sqlstate == "23505" and _SEQUENCE_BEHIND.search(text) and said.table == "messages":
        return errors.SequenceBehind(
            "The sequence of global positions is behind the messages, as after logical "
            f"replication; mdb verify prints the setval() that brings it up: {text}"
        )
    if sqlstate == "53200" and _MOST_LOCKS in said.hint:
        return errors.TooManyLocks(
            "PostgreSQL has no room for the locks of this transaction and of others: write to "
            "fewer categories in one transaction, write many messages with one write_messages() "
            f"or load(), not one by one, or have {_MOST_LOCKS} increased: {text}"
        )
    if sqlstate == _INSUFFICIENT_PRIVILEGE:
        return errors.NotPermitted(f"{text}. {said.hint or _ROLES}")
    if sqlstate == "3F000" or (sqlstate in _MISSING and _OWN_OBJECT.search(text)):
        in_function = _IN_OWN_FUNCTION.match(said.context)
        if in_function and in_function["schema"] not in text:
            return errors.StoreNotInstalled(
                f"The schema {in_function['schema'][:-1]} of the message store was renamed, and "
                "its functions still name the old one; rename it back (ALTER SCHEMA ... RENAME TO "
                f"...): {text}"
            )
        return errors.StoreNotInstalled(
            "The message store is not installed in this database and schema, or not up to date; "
            f"{_INSTALL}: {text}"
        )
    return None
