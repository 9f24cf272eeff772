from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from mdb_sqla import (
    DataExists,
    Message,
    MessageStore,
    NotOffered,
    UnrecognizedStore,
    migrations,
)
from mdb_sqla.admin import verify
from mdb_sqla.migrations import store_history
from tests.citus.conftest import Cluster


def test_a_server_without_citus(database: URL) -> None:
    engine = create_engine(database, poolclass=NullPool)

    with pytest.raises(UnrecognizedStore, match="has no extension citus"):
        migrations.upgrade(engine, citus=True)
    assert migrations.upgrade(engine) == []
    with Session(engine) as session:
        assert MessageStore(session).write("account-1", Message("Opened")) == 0


def test_only_an_empty_store_is_distributed(citus_url: URL) -> None:
    schema = f"mdb_sqla_{uuid4().hex[:8]}"
    engine = create_engine(
        citus_url,
        execution_options={"schema_translate_map": {"message_store": schema}},
        poolclass=NullPool,
    )
    migrations.upgrade(engine, schema=schema)
    try:
        with Session(engine) as session:
            MessageStore(session).write("account-1", Message("Opened"))
            session.commit()

        with pytest.raises(DataExists, match="Only an empty store can be distributed"):
            migrations.upgrade(engine, schema=schema, citus=True)
        with Session(engine) as session:
            assert MessageStore(session).write("account-1", Message("Closed")) == 1
    finally:
        migrations.downgrade(engine, schema=schema, delete_messages=True)


def test_an_upgrade_finds_nothing_to_do(cluster: Cluster) -> None:
    engine = cluster.coordinator

    assert migrations.upgrade(engine, schema=cluster.schema) == []
    assert migrations.upgrade(engine, schema=cluster.schema, citus=True) == []


def test_a_store_of_the_first_version_on_citus(citus_url: URL) -> None:
    """It stays distributed: what the store's later revisions replace is replaced again."""
    schema = f"mdb_sqla_{uuid4().hex[:8]}"
    engine = create_engine(citus_url, poolclass=NullPool)
    with engine.begin() as connection:
        store_history.upgrade(
            connection, schema, version=store_history.FIRST_ON_CITUS, roles=True, citus=True
        )
    try:
        revisions = migrations.upgrade(engine, schema=schema)

        first = store_history.FIRST_ON_CITUS
        later = [version for version in store_history.VERSIONS if version > first]
        assert {f"message_store_citus_{version}" for version in later} < set(revisions)
        assert verify(engine, schema=schema).differences == []
        cluster = Cluster(schema, citus_url)
        for number, node in enumerate(cluster.nodes):
            with Session(node) as session:
                store = MessageStore(session)
                assert store.write("account-1", Message("Opened")) == number
                assert len(store.read_category("account")) == number + 1
                session.commit()
            with (
                node.connect() as connection,
                pytest.raises(DBAPIError, match="does not offer reads of several categories"),
            ):
                connection.execute(text(f"SELECT {schema}.read_bound('{{a,b}}')"))
        with pytest.raises(NotOffered, match="can't be downgraded"):
            migrations.downgrade(engine, schema=schema, delete_messages=True)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.mark.parametrize("is_later", [False, True], ids=["at once", "later"])
def test_roles(citus_url: URL, is_later: bool) -> None:
    """A role that may write can do so on each node, also after a move of the category."""
    name = f"mdb_sqla_{uuid4().hex[:8]}"
    engine = create_engine(citus_url, poolclass=NullPool)
    migrations.upgrade(engine, schema=name, roles=not is_later, citus=True)
    migrations.upgrade(engine, schema=name, roles=True)
    cluster = Cluster(name, citus_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN"))
        connection.execute(text(f"GRANT message_store_writer TO {name}"))
    writers = Cluster(name, citus_url.set(username=name, password=None))
    try:
        for number, node in enumerate(writers.nodes):
            with Session(node) as session:
                store = MessageStore(session)
                assert store.write("shared-1", Message("Opened")) == number
                assert len(store.read_category("shared")) == number + 1
                session.commit()
            cluster.move("shared")
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
        with engine.begin() as connection:
            connection.execute(text(f"DROP ROLE {name}"))
