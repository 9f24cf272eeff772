from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Executable, Result
from sqlalchemy.orm import Session

from mdb_sqla import tables
from mdb_sqla.refusals import translated

__all__ = ["Database", "execute"]

Database = Session | Connection


def execute(db: Database, statement: Executable, parameters: dict[str, Any]) -> Result[Any]:
    """Execute a statement about the store, and raise the server's refusals as our errors.

    A session that is bound to several databases uses the one that the table `messages` is bound to.
    """
    with translated():
        if isinstance(db, Session):
            return db.execute(statement, parameters, bind_arguments={"clause": tables.messages})
        return db.execute(statement, parameters)
