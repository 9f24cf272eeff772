"""What the server refuses, told apart by SQLSTATE and raised as the package's own errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from mdb_sqla import errors

__all__ = ["conflicts_translated", "translated"]

# The texts are part of the server contract, so the values are taken from them. An adopted store
# raises P0001 for every kind: there the text tells the kind, too.
_REFUSALS: tuple[tuple[str, type[errors.Refusal], str], ...] = (
    (
        "MS001",
        errors.WrongExpectedVersion,
        r"Wrong expected version: (?P<expected_version>\S+) "
        r"\(Stream: (?P<stream_name>.*), Stream Version: (?P<stream_version>-?\d+)\)",
    ),
    ("MS002", errors.NotAStream, r"Must be a stream name: (?P<stream_name>[^\n]*)"),
    ("MS003", errors.NotACategory, r"Must be a category: (?P<category>[^\n]*)"),
    (
        "MS004",
        errors.InvalidCorrelation,
        r"Correlation must be a category \(Correlation: (?P<correlation>[^\n]*)\)",
    ),
    (
        "MS005",
        errors.InvalidConsumerGroup,
        r"Consumer group [^\n]*\(Consumer Group Member: (?P<member>\S+), "
        r"Consumer Group Size: (?P<size>\S+)\)",
    ),
    (
        "MS006",
        errors.ConditionNotActivated,
        r"Retrieval with SQL condition is not activated",
    ),
    ("MS010", errors.UnrecognizedStore, r"(Schema|The message store in schema) \".*"),
    ("MS011", errors.MessagesExist, r"The downgrade would delete all messages [^\n]*"),
)
_PATTERNS = [
    (sqlstate, error, re.compile(pattern, re.DOTALL)) for sqlstate, error, pattern in _REFUSALS
]

_NUMBERS = {"expected_version", "stream_version", "member", "size"}

_DUPLICATE_ID = re.compile(r"\(id\)=\((?P<id>[0-9a-f-]{36})\)")

_CONFLICTS = {"40001": "serialization failure", "40P01": "deadlock"}

_MISSING = {"3F000", "42883", "42P01", "42704"}
"""SQLSTATEs of an unknown schema, function, table and type."""


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
        conflict = _conflict(error)
        if conflict is None:
            raise
        raise conflict from error


def _conflict(error: DBAPIError) -> errors.TransactionConflict | None:
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate not in _CONFLICTS:
        return None
    return errors.TransactionConflict(
        f"PostgreSQL asks to run the transaction again ({_CONFLICTS[sqlstate]}): {error.orig}",
        sqlstate=sqlstate,
    )


def _refusal(error: DBAPIError) -> errors.Refusal | None:
    sqlstate = getattr(error.orig, "sqlstate", None)
    text = str(error.orig)
    if sqlstate == "23505" and "messages_id" in text:
        # psycopg has the detail in the text, asyncpg beside it.
        duplicate = _DUPLICATE_ID.search(f"{text} {getattr(error.orig, 'detail', '')}")
        if duplicate:
            return errors.DuplicateMessageId(
                f"A message with the id {duplicate['id']} is stored already", id=duplicate["id"]
            )
    if sqlstate in _MISSING:
        return errors.StoreNotInstalled(
            "The message store is not installed in this database and schema, or not up to date; "
            f"run its migrations (alembic upgrade heads, or mdb upgrade): {text}"
        )
    for own, kind, pattern in _PATTERNS:
        if sqlstate in {own, "P0001"} and (match := pattern.match(text)):
            values: dict[str, object] = match.groupdict()
            for name in _NUMBERS & values.keys():
                values[name] = None if values[name] == "<NULL>" else int(str(values[name]))
            return kind(match[0], **values)
    return None
