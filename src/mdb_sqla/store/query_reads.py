"""The read of the messages that match a query."""

from __future__ import annotations

import json

from sqlalchemy import BigInteger, Text, bindparam, cast, select, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from mdb_sqla import functions
from mdb_sqla.database.execution import WRITES, Database, dialect_of, execute_raw
from mdb_sqla.function_call import call
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.store.message_decoder import from_rows, select_messages
from mdb_sqla.store.query_documents import checked_query, query_document
from mdb_sqla.store.read_arguments import checked_position
from mdb_sqla.words.query import Query, QueryResult

__all__ = ["read_query"]

# One statement, and so one snapshot: messages that are deleted meanwhile are all there, or all
# gone. The position comes first, so that the snapshot shows everything up to it.
_bound = select(
    call("read_bound", BigInteger(), (bindparam("categories"), ARRAY(Text))).label("position")
).subquery("bound")
_messages = functions.get_query_messages(
    cast(bindparam("query", type_=Text), JSONB),
    bindparam("position"),
    -1,
    _bound.c.position,
).lateral("found")
_READ = select_messages(_messages, _bound.c.position).select_from(
    _bound.outerjoin(_messages, true())
)


def read_query(
    db: Database, query: Query, position: int, types: MessageTypes | None
) -> QueryResult:
    named = checked_query(query, types)
    first = checked_position(position)
    parameters = {
        "categories": sorted(named.categories),
        "query": json.dumps(query_document(named)),
        "position": first,
    }
    # A decision must not depend on a replica.
    rows = execute_raw(db, _READ, parameters, WRITES)
    bound: int = rows[0][0]
    found = [] if rows[0][1] is None else [row[1:] for row in rows]
    messages = from_rows(found, dialect_of(db))
    # A writer with an earlier floor may hold back this read, but not an earlier one.
    return QueryResult(query, messages, max(bound, first - 1))
