from __future__ import annotations

import pytest
from sqlalchemy import URL

from mdb_sqla import migrations
from mdb_sqla.admin.verification import verify
from tests.migrations.conftest import engine_of


@pytest.mark.parametrize("role", [False, True])
def test_an_adopted_store_differs_in_nothing(original: URL, role: bool) -> None:
    engine = engine_of(original)
    migrations.upgrade(engine, roles=role)

    assert verify(engine).differences == []


def test_one_that_was_not_adopted_differs(original: URL) -> None:
    wheres = {difference.where for difference in verify(engine_of(original)).differences}

    assert "Table consumer_slots" in wheres
    assert "Function body write_message(" in {where.partition("id")[0] for where in wheres}
