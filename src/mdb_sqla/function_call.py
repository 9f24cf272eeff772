"""Calls of server functions in SQLAlchemy statements."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import BigInteger, Text, column, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import Function
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from mdb_sqla import tables
from mdb_sqla.column_types import JSONText, UTCDateTime, UUIDText

__all__ = ["call", "message_table"]

_T = TypeVar("_T")


class _ServerFunction(Function[_T]):
    """A function in the schema of the table `messages`."""

    inherit_cache = True


@compiles(_ServerFunction)
def _compile(element: _ServerFunction[Any], compiler: SQLCompiler, **kw: Any) -> str:
    # `schema_translate_map` applies only to tables.
    qualified = element._clone()
    qualified.packagenames = (compiler.preparer.schema_for_object(tables.messages),)
    return compiler.visit_function(qualified, **kw)


def call(
    name: str, result: TypeEngine[Any], *arguments: tuple[Any, TypeEngine[Any]]
) -> Function[Any]:
    """Return a call of a server function with typed arguments."""
    typed = (type_coerce(value, type_) for value, type_ in arguments)
    return _ServerFunction(name, *typed, type_=result)


def message_table(name: str, *arguments: tuple[Any, TypeEngine[Any]]) -> TableValuedAlias:
    """Return a call of a server function that returns messages, as a table."""
    return call(name, Text(), *arguments).table_valued(
        column("id", UUIDText),
        column("stream_name", Text),
        column("type", Text),
        column("position", BigInteger),
        column("global_position", BigInteger),
        column("data", JSONText),
        column("metadata", JSONText),
        column("time", UTCDateTime),
        name=name,
    )
