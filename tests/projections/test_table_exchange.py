"""After a switch, the table of the new version has all that the old one had."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, inspect, text

from mdb_sqla import ProjectionRefused
from mdb_sqla.projections import Projection, drop, rebuild, switch
from tests.projections.conftest import Shop, totals_of, versions


@pytest.mark.parametrize(
    ("statement", "dependent"),
    [
        ("CREATE VIEW paid AS SELECT id FROM order_totals", "view paid"),
        (
            "CREATE TABLE notes (id text REFERENCES order_totals)",
            "foreign key notes_id_fkey of table notes",
        ),
        ("ALTER TABLE order_totals ENABLE ROW LEVEL SECURITY", "row-level security"),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON order_totals "
            "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger t",
        ),
        ("CREATE TABLE child () INHERITS (order_totals)", "child table child"),
        ("CREATE PUBLICATION p FOR TABLE order_totals", "publication p"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_an_exchange_would_leave_behind(filled: Shop, statement: str, dependent: str) -> None:
    with filled.engine.begin() as connection:
        connection.execute(text(statement))
    try:
        with pytest.raises(ProjectionRefused, match=f"has dependents: {dependent}"):
            rebuild(filled.engine, totals_of(2))
        assert versions(filled) == [(1, "current", None)]
    finally:
        with filled.engine.begin() as connection:
            connection.execute(text("DROP PUBLICATION IF EXISTS p"))


def test_indexes_privileges_sequences_and_comments(filled: Shop) -> None:
    """The table has the same names, for Alembic, and the same grants."""
    with filled.engine.begin() as connection:
        connection.execute(text("COMMENT ON TABLE order_totals IS 'totals: of orders'"))
        connection.execute(text("GRANT SELECT ON order_totals TO PUBLIC"))
        connection.execute(text("GRANT UPDATE (paid) ON order_totals TO pg_monitor"))
        before = _described(connection, "order_totals")
    rebuild(filled.engine, totals_of(2))

    switch(filled.engine, totals_of(2))

    with filled.engine.connect() as connection:
        assert _described(connection, "order_totals") == before
        old = _described(connection, "order_totals_v1")
    assert old[0] == [("ix_order_totals_customer_v1", ["customer"])]
    assert old[1] == "order_totals_v1_pkey"
    assert old[2] == "mdb_sqla: projection totals, version 1"


def _described(connection: Any, table: str) -> list[Any]:
    inspector = inspect(connection)
    return [
        [(each["name"], each["column_names"]) for each in inspector.get_indexes(table)],
        inspector.get_pk_constraint(table)["name"],
        inspector.get_table_comment(table)["text"],
        connection.scalar(
            text(
                "SELECT array_agg(format('%s %s', a.privilege_type, a.grantee) ORDER BY 1) "
                "FROM pg_class, aclexplode(relacl) AS a "
                "WHERE relname = :t AND a.grantee <> relowner"
            ),
            {"t": table},
        ),
        connection.scalar(
            text(
                "SELECT attacl::text FROM pg_attribute "
                "WHERE attrelid = CAST(:t AS regclass) AND attname = 'paid'"
            ),
            {"t": table},
        ),
    ]


def test_constraints_with_a_naming_convention_and_foreign_keys(shop: Shop) -> None:
    import dataclasses

    from sqlalchemy import CheckConstraint, Integer, UniqueConstraint

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    Table("parents", metadata, Column("id", Integer, primary_key=True))
    table = Table(
        "counts",
        metadata,
        Column("id", Integer, primary_key=True),  # with a sequence
        Column("parent", ForeignKey("parents.id")),
        Column("number", Integer, comment="of orders"),
        UniqueConstraint("number"),
        CheckConstraint("number > 0", name="positive"),
    )

    @dataclasses.dataclass
    class Count:
        id: int
        number: int

    def counts_of(version: int) -> Projection[Count]:
        counts = Projection("counts", "order", row=Count, table=table, version=version)
        counts.on("Placed")(
            lambda row, message: Count(
                int(message.stream_name[6:]), message.position + int(message.stream_name[6:])
            )
        )
        return counts

    metadata.create_all(shop.engine)
    shop.place(range(1, 4))
    counts_of(1).consumer().catch_up(shop.factory)

    def described() -> Any:
        inspector = inspect(shop.engine)
        with shop.engine.connect() as connection:
            sequence = connection.scalar(text("SELECT pg_get_serial_sequence('counts', 'id')"))
        return (
            inspector.get_pk_constraint("counts")["name"],
            inspector.get_unique_constraints("counts"),
            inspector.get_foreign_keys("counts"),
            inspector.get_check_constraints("counts"),
            str(inspector.get_columns("counts")),
            sequence,
        )

    before = described()
    for version in (2, 3):
        rebuild(shop.engine, counts_of(version))
        switch(shop.engine, counts_of(version))
        drop(shop.engine, "counts", version - 1)

        assert described() == before
