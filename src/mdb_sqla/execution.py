from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, Executable, Row
from sqlalchemy.orm import Session

from mdb_sqla.refusals import translated

__all__ = ["Database", "execute"]

Database = Session | Connection

# A cursor on the server, which the application may have asked for, would run a function only as far
# as its rows are fetched.
_OPTIONS = {"stream_results": False}


def execute(
    db: Database, statement: Executable, parameters: dict[str, Any], bound_as: ClauseElement
) -> Sequence[Row[Any]]:
    """Execute a statement, fetch its rows and raise the server's refusals as our errors.

    A session that has several engines picks the one for `bound_as`: a write goes where an insert
    into `messages` goes.
    """
    with translated():
        if isinstance(db, Session):
            result = db.execute(
                statement,
                parameters,
                bind_arguments={"clause": bound_as},
                execution_options=_OPTIONS,
            )
        else:
            result = db.execute(statement, parameters, execution_options=_OPTIONS)
        return result.all()
