"""Databases whose encoding is not UTF8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from alembic.util import CommandError
from sqlalchemy import URL, NullPool, create_engine

from mdb_sqla import InvalidArgument, Message, MessageStore, UnrecognizedStore, migrations
from tests.cli.test_mdb import mdb
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.two_heads.application import Application

UTF8 = {"client_encoding": "utf8"}


@pytest.fixture
def encoded(databases: Databases, encoding: str) -> Iterator[URL]:
    """A database in an encoding."""
    with databases.create() as url:
        databases.execute(f'DROP DATABASE "{url.database}"')
        databases.execute(
            f"CREATE DATABASE \"{url.database}\" ENCODING '{encoding}' TEMPLATE template0 "
            "LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        yield url


@pytest.mark.parametrize("connect_args", [{}, UTF8], ids=["database's", "utf8"])
@pytest.mark.parametrize(
    ("encoding", "text"),
    [("EUC_JP", "消息"), ("LATIN1", "Köln"), ("WIN1252", "„Köln“"), ("LATIN2", "Łódź")],
)
def test_a_store_has_what_the_encoding_has(
    encoded: URL, text: str, connect_args: dict[str, Any]
) -> None:
    engine = create_engine(encoded, connect_args=connect_args, poolclass=NullPool)

    migrations.upgrade(engine)
    with engine.begin() as connection:
        notices: list[str] = []
        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, psycopg.Connection)
        driver_connection.add_notice_handler(
            lambda each: notices.append(each.message_primary or "")
        )
        connection.exec_driver_sql("SET LOCAL message_store.debug = on")
        store = MessageStore(connection)
        store.write(f"account-{text}", Message("T", {"name": text}))

        (read,) = store.read_category("account")

    assert (read.stream_name, read.data) == (f"account-{text}", {"name": text})
    assert "> get_category_messages" in notices


@pytest.mark.parametrize("encoding", ["SQL_ASCII"])
def test_sql_ascii_is_refused(encoded: URL, tmp_path: Any) -> None:
    before = catalog(encoded)
    what = "the encoding of the database is SQL_ASCII"

    with pytest.raises(UnrecognizedStore, match=what):
        migrations.upgrade(create_engine(encoded, connect_args=UTF8, poolclass=NullPool))
    application = Application(tmp_path, encoded)
    application.connect_args = UTF8
    with pytest.raises(CommandError, match=f"{what}. .* ENCODING 'UTF8'"):
        application.upgrade()
    done = mdb("upgrade", url=encoded, code=1)

    assert what in done.stderr
    assert catalog(encoded) == before


@pytest.mark.parametrize("encoding", ["SQL_ASCII"])
def test_what_sqlalchemy_cannot_read_is_named(encoded: URL) -> None:
    """From psycopg it gets bytes where it takes text for granted."""
    with pytest.raises(InvalidArgument, match="SQL_ASCII"):
        migrations.upgrade(create_engine(encoded, poolclass=NullPool))
