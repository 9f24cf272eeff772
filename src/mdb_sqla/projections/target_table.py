"""Statements over the table that a projection's rows are written to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    FromClause,
    Select,
    TableValuedAlias,
    and_,
    any_,
    bindparam,
    column,
    delete,
    func,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import insert

from mdb_sqla.database.error_translation import translated
from mdb_sqla.projections.row_fold import Changes
from mdb_sqla.projections.row_keys import Key
from mdb_sqla.projections.row_mapping import RowMapping

__all__ = ["TargetTable"]


class TargetTable:
    """A table with the columns of a projection.

    Args:
        mapping: the class of the rows.
        schema: the schema of the table, as PostgreSQL names it.
        name: the name of the table.

    Attributes:
        name: the name of the table.
    """

    def __init__(self, mapping: RowMapping[Any], schema: str, name: str) -> None:
        self.name = name
        self._columns = mapping.columns
        self._key = mapping.key
        # Without SQLAlchemy's `Table`, whose schema would be translated again.
        self._table = table(name, *(column(c.name, c.type) for c in self._columns), schema=schema)
        # An array of arrays can't be unnested row by row.
        self._is_unnested = not any(isinstance(c.type, ARRAY) for c in self._columns)
        self._selects = {lock: self._select(lock) for lock in (False, True)}
        self._upsert = self._upsert_statement()
        self._delete = delete(self._table).where(self._is_requested(self._table))

    def read(
        self, connection: Connection, keys: Iterable[Key], *, lock: bool
    ) -> Sequence[Sequence[Any]]:
        """Return the rows with these keys, with one statement.

        Args:
            connection: the connection.
            keys: the keys.
            lock: whether to lock the rows until the transaction ends.
        """
        requested = list(keys)
        if not requested:
            return []
        with translated():
            return connection.execute(self._selects[lock], self._parameters(requested)).all()

    def write(self, connection: Connection, changes: Changes) -> None:
        """Write and delete rows, with one statement each."""
        with translated():
            if changes.written:
                connection.execute(self._upsert, self._rows(changes.written))
            if changes.deleted:
                connection.execute(self._delete, self._parameters(changes.deleted))

    def _select(self, lock: bool) -> Select[Any]:
        statement = select(*self._table.c).where(self._is_requested(self._table))
        if lock:
            # In one order, so that two transactions don't wait for each other.
            keys = (self._table.c[c.name] for c in self._key)
            statement = statement.order_by(*keys).with_for_update()
        return statement

    def _is_requested(self, rows: FromClause) -> Any:
        """Return the condition on the parameters that `_parameters` returns."""
        if len(self._key) == 1:
            (key,) = self._key
            return rows.c[key.name] == any_(bindparam("key_0", type_=ARRAY(key.type, dimensions=1)))
        requested = _unnested("key", self._key).render_derived("requested")
        is_same = and_(*(rows.c[c.name] == requested.c[c.name] for c in self._key))
        return select(1).select_from(requested).where(is_same).correlate(rows).exists()

    def _parameters(self, keys: list[Key]) -> dict[str, Any]:
        if len(self._key) == 1:
            return {"key_0": keys}
        columns = zip(*keys, strict=True)
        return {f"key_{n}": list(values) for n, values in enumerate(columns)}

    def _upsert_statement(self) -> Any:
        names = [c.name for c in self._columns]
        statement = insert(self._table)
        if self._is_unnested:
            source = _unnested("value", self._columns).render_derived("source")
            statement = statement.from_select(names, select(*(source.c[name] for name in names)))
        else:
            values = {c.name: bindparam(f"value_{n}", type_=c.type) for n, c in self._numbered}
            statement = statement.values(values)
        keys = [c.name for c in self._key]
        changed = {name: statement.excluded[name] for name in names if name not in keys}
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=keys)
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    def _rows(self, rows: list[tuple[Any, ...]]) -> Any:
        if not self._is_unnested:
            return [{f"value_{n}": value for n, value in enumerate(row)} for row in rows]
        return {f"value_{n}": list(values) for n, values in enumerate(zip(*rows, strict=True))}

    @property
    def _numbered(self) -> Iterable[tuple[int, Any]]:
        return enumerate(self._columns)


def _unnested(name: str, columns: Sequence[Any]) -> TableValuedAlias:
    """Return the rows of the parameters `<name>_0`, `<name>_1` and so on, an array for each column.

    Not schema-qualified: with several arrays, unnest is part of the grammar.
    """
    arrays = (
        bindparam(f"{name}_{n}", type_=ARRAY(c.type, dimensions=1)) for n, c in enumerate(columns)
    )
    return func.unnest(*arrays).table_valued(*(column(c.name, c.type) for c in columns))
