"""What the server refuses, told apart by SQLSTATE and raised as the package's own errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from mdb_sqla import errors

__all__ = [
    "conflicts_translated",
    "diagnostics_of",
    "is_conflict",
    "is_outage",
    "is_passing",
    "raise_conflict",
    "sqlstate_of",
    "translated",
]

# The texts are part of the server contract, so the values are taken from them. An adopted store
# raises P0001 for every kind: there the text tells the kind, too.
_REFUSALS: tuple[tuple[str, type[errors.Refusal], str], ...] = (
    (
        "MS001",
        errors.WrongExpectedVersion,
        r"Wrong expected version: (?P<expected_version>\S+) "
        r"\(Stream: (?P<stream_name>.*), Stream Version: (?P<stream_version>-?\d+)\)",
    ),
    ("MS002", errors.NotAStream, r"Must be a stream name: (?P<stream_name>.*)"),
    ("MS003", errors.NotACategory, r"Must be a category: (?P<category>.*)"),
    (
        "MS004",
        errors.InvalidCorrelation,
        r"Correlation must be a category \(Correlation: (?P<correlation>.*)\)",
    ),
    (
        "MS005",
        errors.InvalidConsumerGroup,
        r"Consumer group .*\(Consumer Group Member: (?P<member>\S+), "
        r"Consumer Group Size: (?P<size>\S+)\)",
    ),
    (
        "MS006",
        errors.ConditionNotActivated,
        r"Retrieval with SQL condition is not activated",
    ),
    (
        "MS007",
        errors.DuplicateMessageId,
        r"Message id is taken by a message with other content: (?P<id>\S+) \(Stream: .*\)",
    ),
    ("MS008", errors.ReadNotExact, r"Must be read (on the primary server|at isolation level).*"),
    ("MS010", errors.UnrecognizedStore, r"(Schema|The message store in schema) \".*"),
    ("MS011", errors.DataExists, r"The downgrade would delete in schema .*"),
)
_PATTERNS = [
    (sqlstate, error, re.compile(pattern, re.DOTALL)) for sqlstate, error, pattern in _REFUSALS
]

_NUMBERS = {"expected_version", "stream_version", "member", "size"}

_TAKEN_POSITION = re.compile(r"\bmessages_stream\b")
_SEQUENCE_BEHIND = re.compile(r"\bmessages_pkey\b")
_DUPLICATE = re.compile(r"\bmessages_id\b")
_DUPLICATE_ID = re.compile(r"\(id\)=\(([0-9a-f-]{36})\)")

_CONFLICTS = {"40001": "serialization failure", "40P01": "deadlock"}

# By class (the first two characters), or by one state of a class.
_OUTAGES = (
    "08",  # connection exception
    "25006",  # read-only: a standby, a primary that is switched over, a full disk at some providers
    "25P03",  # idle in transaction for too long
    "53",  # insufficient resources: disk, memory, connections
    "57P",  # shutting down, crashed, starting, idle for too long
    "58",  # an error outside of PostgreSQL, such as of its disk
)
_PASSING = (
    *_OUTAGES,
    "40",  # rolled back for the sake of others
    "55000",  # not in this state: recovery is in progress
    "55P03",  # a lock was not available in time
    "57014",  # cancelled, by a time-out or by somebody
)

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


@contextmanager
def translated() -> Iterator[None]:
    """Raise our own error for each refusal of the server, from the driver's error.

    Everything else, a lost connection among it, passes through as SQLAlchemy raised it.
    """
    try:
        yield
    except DBAPIError as error:
        refusal = _conflict(error) or _refusal(error)
        if refusal is None:
            raise
        raise refusal from error


@contextmanager
def conflicts_translated() -> Iterator[None]:
    """Raise `TransactionConflict` for what PostgreSQL asks to run again; around any statements."""
    try:
        yield
    except DBAPIError as error:
        raise_conflict(error)
        raise


def raise_conflict(error: BaseException | None) -> None:
    """Raise `TransactionConflict` if this is PostgreSQL asking to run the transaction again."""
    if isinstance(error, DBAPIError) and (conflict := _conflict(error)):
        raise conflict from error


def is_conflict(error: BaseException) -> bool:
    """Whether PostgreSQL asks to run the transaction again."""
    if isinstance(error, DBAPIError):
        return _conflict(error) is not None
    return isinstance(error, errors.TransactionConflict)


def is_passing(error: BaseException) -> bool:
    """Whether the server can't do something at the moment, so that it may be tried again later.

    It is not reached, shuts down, starts, is read-only or a standby, has no room, no memory or no
    connection left, a lock is held for too long, a statement was cancelled or took too long, or
    PostgreSQL asks to run the transaction again.
    """
    sqlstate = sqlstate_of(error) or ""
    if not isinstance(error, DBAPIError):
        passing = errors.ReadNotExact | errors.TooManyLocks | errors.TransactionConflict
        # SQLAlchemy 2.0 lets through what asyncpg raises while it connects.
        return isinstance(error, passing) or sqlstate.startswith(_PASSING)
    return (
        error.connection_invalidated
        or sqlstate.startswith(_PASSING)
        # A driver that can't connect has no SQLSTATE to tell, or has that of the server's refusal.
        or (not sqlstate and isinstance(error, OperationalError | InterfaceError))
    )


def is_outage(error: BaseException) -> bool:
    """Whether the server as a whole is in such a state: it is no lock, no time-out, no conflict."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, errors.TooManyLocks)
    return (sqlstate_of(error) or "").startswith(_OUTAGES)


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of the driver's error, or of SQLAlchemy's around it; None without one."""
    original = error.orig if isinstance(error, DBAPIError) else error
    # psycopg2 calls it otherwise.
    sqlstate: str | None = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return sqlstate


def _conflict(error: DBAPIError) -> errors.TransactionConflict | None:
    sqlstate, text, _, _ = diagnostics_of(error)
    if sqlstate == "23505" and _TAKEN_POSITION.search(text) and _table(error) == "messages":
        # By a writer without the lock.
        sqlstate = "40001"
    if sqlstate not in _CONFLICTS:
        return None
    return errors.TransactionConflict(
        f"PostgreSQL asks to run the transaction again ({_CONFLICTS[sqlstate]}): {text}",
        sqlstate=sqlstate,
    )


def _refusal(error: DBAPIError) -> errors.Refusal | None:
    sqlstate, text, detail, hint = diagnostics_of(error)
    if sqlstate == "23505" and _DUPLICATE.search(text):
        id_ = match[1] if (match := _DUPLICATE_ID.search(detail)) else None
        which = f"the id {id_}" if id_ else "the same id"
        return errors.DuplicateMessageId(f"A message with {which} is stored already", id=id_)
    if sqlstate == "23505" and _SEQUENCE_BEHIND.search(text) and _table(error) == "messages":
        return errors.SequenceBehind(
            "The sequence of global positions is behind the messages, as after logical "
            f"replication; mdb verify prints the setval() that brings it up: {text}"
        )
    if sqlstate == "53200" and _MOST_LOCKS in hint:
        return errors.TooManyLocks(
            "PostgreSQL has no room for the locks of this transaction and of others: write to "
            "fewer categories in one transaction, write many messages with one write_messages() "
            f"or load(), not one by one, or have {_MOST_LOCKS} increased: {text}"
        )
    if sqlstate == _INSUFFICIENT_PRIVILEGE:
        return errors.NotPermitted(f"{text}. {hint or _ROLES}")
    if sqlstate == "3F000" or (sqlstate in _MISSING and _OWN_OBJECT.search(text)):
        in_function = _IN_OWN_FUNCTION.match(_said(error, "context") or "")
        if in_function and in_function["schema"] not in text:
            return errors.StoreNotInstalled(
                f"The schema {in_function['schema'][:-1]} of the message store was renamed, and "
                "its functions still name the old one; rename it back (ALTER SCHEMA ... RENAME TO "
                f"...): {text}"
            )
        return errors.StoreNotInstalled(
            "The message store is not installed in this database and schema, or not up to date; "
            f"run its migrations (alembic upgrade heads, or mdb upgrade): {text}"
        )
    for own, kind, pattern in _PATTERNS:
        if sqlstate in {own, "P0001"} and (match := pattern.fullmatch(text)):
            values: dict[str, object] = match.groupdict()
            for name in _NUMBERS & values.keys():
                values[name] = None if values[name] == "<NULL>" else int(str(values[name]))
            refusal = kind(text, **values)
            if hint:
                refusal.add_note(hint)
            return refusal
    return None


def _table(error: DBAPIError) -> str | None:
    return _said(error, "table_name")


def _said(error: DBAPIError, name: str) -> str | None:
    """Return a field that the drivers have under the same name."""
    original = error.orig
    told = getattr(original, "diag", None) or getattr(original, "__cause__", None)
    return getattr(told, name, None)


def diagnostics_of(error: BaseException) -> tuple[str | None, str, str, str]:
    """Return the SQLSTATE, the primary message, the detail and the hint of what the server said."""
    original = error.orig if isinstance(error, DBAPIError) else error
    # psycopg has them in `diag`; SQLAlchemy raises its asyncpg errors from asyncpg's own.
    psycopg = getattr(original, "diag", None)
    if psycopg is not None:
        said = [getattr(psycopg, f"message_{name}") for name in ("primary", "detail", "hint")]
    else:
        asyncpg = getattr(original, "__cause__", None) or original
        said = [getattr(asyncpg, name, None) for name in ("message", "detail", "hint")]
    return sqlstate_of(error), said[0] or str(original), said[1] or "", said[2] or ""
