"""The record of a verification in the log of operations."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from mdb_sqla.admin.verification import Verification
from mdb_sqla.errors import MessageStoreError
from mdb_sqla.migrations.sql_files import checked_schema
from mdb_sqla.operation_log import record_operation
from mdb_sqla.tables import SCHEMA

__all__ = ["record_result"]


def record_result(
    engine: Engine,
    result: Verification,
    *,
    schema: str,
    quick: bool,
    seconds: float,
    by: str | None,
) -> None:
    """Record the result of a verification; if that fails, `left_out` says why.

    Args:
        engine: an engine that connects as any role.
        result: the result.
        schema: the schema of the store.
        quick: whether the messages were skipped.
        seconds: the duration of the verification.
        by: who has run it; by default the database role.
    """
    details = {
        "problems": len(result.differences),
        "skipped": len(result.left_out),
        "quick": quick,
        "seconds": round(seconds, 3),
    }
    options = {"schema_translate_map": {SCHEMA: checked_schema(schema)}}
    try:
        with engine.execution_options(**options).begin() as connection:
            record_operation(connection, "verify", details=details, by=by)
    except (SQLAlchemyError, MessageStoreError) as error:
        # For example, the role may only read, or the server is a standby.
        result.left_out.append(f"Log of operations: {getattr(error, 'orig', error)}".strip())
