"""Both stores, installed in databases of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, NullPool, create_engine

from mdb_sqla import migrations
from tests.conftest import Databases
from tests.side_by_side.differences import Mode
from tests.side_by_side.fetching import fetched
from tests.side_by_side.message_db import MessageDB
from tests.side_by_side.pair import Pair
from tests.side_by_side.store import Store


@pytest.fixture(scope="session")
def message_db(tmp_path_factory: pytest.TempPathFactory) -> MessageDB:
    return fetched("1.3.0", tmp_path_factory.mktemp("message_db") / "1.3.0")


@pytest.fixture(scope="session")
def original(databases: Databases, message_db: MessageDB) -> Iterator[URL]:
    """A database in which Message DB is installed."""
    with databases.create() as url:
        message_db.install(url)
        yield url


@pytest.fixture(scope="session", params=["installed", "in another schema", "adopted"])
def pair(
    request: pytest.FixtureRequest, databases: Databases, message_db: MessageDB, original: URL
) -> Iterator[Pair]:
    """The original, and ours in each of the ways in which it can have come to be."""
    schema = "My 'Ev\"ents% :x" if request.param == "in another schema" else "message_store"
    with databases.create() as url:
        if request.param == "adopted":
            message_db.install(url)
        migrations.upgrade(create_engine(url, poolclass=NullPool), schema=schema)
        pair = Pair(Store(original), Store(url, schema), Mode(by_stream=request.param != "adopted"))
        yield pair
        pair.theirs.close()
        pair.ours.close()
