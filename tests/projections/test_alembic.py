"""Alembic ignores the tables of versions, and finds the application's as its metadata says."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from mdb_sqla.projections import rebuild, switch
from tests.projections.conftest import Base, Shop, totals_of


def differences(shop: Shop, **options: Any) -> list[Any]:
    with shop.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, **options})
        return list(compare_metadata(context, Base.metadata))


def test_it_proposes_nothing(shop: Shop) -> None:
    shop.place(range(1, 4))
    totals_of().consumer().catch_up(shop.factory)
    assert differences(shop) == []

    rebuild(shop.engine, totals_of(2))
    assert differences(shop) == []
    assert differences(shop, include_schemas=True) == []

    switch(shop.engine, totals_of(2))
    assert differences(shop) == []


def test_it_still_finds_other_tables(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(text("CREATE TABLE order_totals_v9 (id int PRIMARY KEY)"))

    ((operation, table),) = differences(shop)

    assert (operation, table.name) == ("remove_table", "order_totals_v9")
