"""The log of operations: who has paused, reset or verified what."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Text, cast, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from mdb_sqla.database.citus import refuse_on_worker
from mdb_sqla.database.execution import (
    WRITES,
    Database,
    connection_of,
    database,
    execute,
    qualified,
)
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.log_event import log_event
from mdb_sqla.tables import operations as table
from mdb_sqla.words.argument_checks import described, integer, is_storable, strings_in, text

__all__ = ["Operation", "operations", "record", "record_operation"]

_log = logging.getLogger("mdb_sqla.operations")


class Operation(NamedTuple):
    """An entry in the log of operations.

    Attributes:
        id: the number of the entry; later entries have higher numbers.
        kind: what was done: the name of the function, such as `reset_consumer`, or the kind that
            an application has passed to `record_operation`.
        subject: what it was done to, such as the name of a consumer or a category, if anything.
        details: further values, by name; if another program has written something else, it is
            the value of `details`.
        performed_by: who did it, as passed by the caller; by default the role.
        role: the database role that was logged in.
        performed_at: when.
    """

    id: int
    kind: str
    subject: str | None
    details: dict[str, Any]
    performed_by: str
    role: str
    performed_at: datetime


def record_operation(
    db: Database,
    kind: str,
    subject: str | None = None,
    *,
    details: Mapping[str, Any] | None = None,
    by: str | None = None,
) -> None:
    """Record an operation of your application in the log of operations.

    The functions of this package record their own operations.

    Args:
        db: a session or connection in a transaction, which the entry becomes part of.
        kind: what was done.
        subject: what it was done to.
        details: further values, which can be represented as JSON.
        by: who did it; by default the database role that is logged in.

    Raises:
        InvalidArgument: an argument is invalid.
        NotOffered: the node is a worker of Citus.
        NotPermitted: the role may not add entries to the log.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    values = {
        "kind": text("kind", kind),
        "subject": None if subject is None else text("subject", subject),
        # As text: an application may have configured how its engine writes JSON.
        "details": cast(literal(_json(details), Text), JSONB),
        "performed_by": func.session_user() if by is None else text("by", by),
    }
    db = database(db)
    refuse_on_worker(db)
    # Without RETURNING id, which takes a privilege to read.
    execute(db, insert(table).values(values).returning(literal(1)), {}, WRITES)


def record(
    db: Database,
    kind: str,
    subject: str | None = None,
    *,
    details: Mapping[str, Any] | None = None,
    by: str | None = None,
) -> None:
    """Record an operation of this package, if the role may. See `record_operation`.

    A role that may do something need not have been granted to record it. It does so nevertheless,
    and a warning is logged.
    """
    name = cast(qualified(connection_of(db), table.name), Text)
    privilege = func.pg_catalog.has_column_privilege(name, cast("kind", Text), cast("INSERT", Text))
    if execute(db, select(privilege), {}, WRITES)[0][0]:
        record_operation(db, kind, subject, details=details, by=by)
        return
    role = execute(db, select(func.session_user()), {}, WRITES)[0][0]
    performed_by = role if by is None else by
    log_event(
        _log,
        logging.WARNING,
        "operation.not_recorded",
        "Not recorded: %s of %s by %s: role %s lacks INSERT on the table operations",
        kind,
        subject,
        performed_by,
        role,
        kind=kind,
        subject=subject,
        performed_by=performed_by,
        role=role,
    )


def operations(
    db: Database, *, kind: str | None = None, subject: str | None = None, limit: int = 100
) -> list[Operation]:
    """Return the latest entries in the log of operations, latest first.

    Args:
        db: a session or connection.
        kind: only operations of this kind.
        subject: only operations on this subject.
        limit: the maximum number of entries.

    Raises:
        InvalidArgument: an argument is invalid.
        NotOffered: the node is a worker of Citus.
        StoreNotInstalled: the database has no store, or the store is not up to date.
    """
    db = database(db)
    refuse_on_worker(db)
    columns: list[ColumnElement[Any]] = [
        cast(table.c.details, Text).label(name) if name == "details" else table.c[name]
        for name in Operation._fields
    ]
    statement = select(*columns).order_by(table.c.id.desc()).limit(integer("limit", limit, 1))
    if kind is not None:
        statement = statement.where(table.c.kind == text("kind", kind))
    if subject is not None:
        statement = statement.where(table.c.subject == text("subject", subject))
    rows = execute(db, statement, {}, WRITES)
    return [Operation(**{**row._asdict(), "details": _details(row.details)}) for row in rows]


def _details(written: str) -> dict[str, Any]:
    """Return details that any role with the privilege to add entries may have written."""
    try:
        details = json.loads(written)
    except (ValueError, RecursionError):
        # Python does not convert numbers of thousands of digits.
        details = written
    return details if isinstance(details, dict) else {"details": details}


def _json(details: Mapping[str, Any] | None) -> str:
    values = {} if details is None else details
    try:
        written = json.dumps(dict(values), allow_nan=False)
        storable = all(map(is_storable, strings_in(json.loads(written))))
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"details must be a mapping that can be represented as JSON, got {described(values)}: "
            f"{error}"
        ) from error
    if not storable:
        raise InvalidArgument(
            f"details must be without NUL and surrogates, got {described(values)}"
        )
    return written
