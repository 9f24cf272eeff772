"""The command `mdb` through a transaction pooler, by which each process meets what others left."""

from __future__ import annotations

from sqlalchemy import URL, text

from mdb_sqla.cli.options import connected
from tests.cli.test_mdb import mdb


def test_commands(pooled: URL) -> None:
    mdb("upgrade", url=pooled)
    mdb("lock-granularity", "stream", url=pooled)
    mdb("verify", url=pooled)
    mdb("downgrade", "--delete-operations", url=pooled)


def test_commands_leave_nothing_prepared(pooled: URL) -> None:
    url = pooled.render_as_string(hide_password=False)
    with connected(url) as engine, engine.begin() as connection:
        for number in range(10):
            connection.execute(text("SELECT CAST(:number AS integer)"), {"number": number})

        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
