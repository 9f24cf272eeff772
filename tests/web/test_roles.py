"""The role `message_store_reader` suffices for all views, and every transaction is read-only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, event, text

from mdb_sqla import migrations
from tests.conftest import Databases
from tests.web.conftest import Pooled, Serve

ROLE = f"mdb_sqla_web_{os.getpid()}"
VIEWS = ["", "map", "messages", "messages?category=aircraft&text=jfk&type=Departed"]
VIEWS += ["message?at=1", "message/data?at=1", "search?q=aircraft-N", "consumers"]
VIEWS += ["consumer?name=fleet", "consumer?name=punctuality", "dead-letters", "retention"]
VIEWS += ["dead-letters/of-kind?consumer=charges&type=Departed&error=x"]


@pytest.fixture(scope="module")
def store(databases: Databases, flights: URL) -> Iterator[URL]:
    """A database with flights that only the owner and members of roles may read."""
    with databases.create(flights) as url:
        migrations.upgrade(create_engine(url, poolclass=NullPool), roles=True)
        with create_engine(url, poolclass=NullPool).begin() as connection:
            closed = "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC"
            connection.execute(text(closed))
            connection.execute(text(f"CREATE ROLE {ROLE} LOGIN IN ROLE message_store_reader"))
        yield url
    databases.execute(f"DROP ROLE {ROLE}")


def as_role(engine: Engine) -> Engine:
    """Let an engine log in as the role."""

    # Whether or not the server lets the role log in from here.
    @event.listens_for(engine, "connect")
    def become(connection: Any, _: object) -> None:
        connection.execute(f"SET SESSION AUTHORIZATION {ROLE}")
        connection.commit()

    return engine


@pytest.mark.parametrize("has_pool", [False, True])
def test_the_reader_suffices(
    client: httpx2.Client, served: Serve, pooled: Pooled, store: URL, has_pool: bool
) -> None:
    options: dict[str, Any] = {"pool_size": 2} if has_pool else {"poolclass": NullPool}
    engine = as_role(pooled(store, **options))
    modes: list[tuple[str, str]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        row = cursor.connection.cursor().execute(
            "SELECT current_user, current_setting('transaction_read_only')"
        )
        modes.append(row.fetchone())

    url = served(engine)
    for view in VIEWS:
        response = client.get(f"{url}/{view}", follow_redirects=True)
        assert response.status_code == 200, response.text
    assert len(modes) > 50
    assert set(modes) == {(ROLE, "on")}


def test_actions_need_more(client: httpx2.Client, served: Serve, store: URL) -> None:
    from tests.web.pause_form import token_of

    url = served(as_role(create_engine(store, poolclass=NullPool)), authorize=lambda request: "Ada")
    fields = {"token": token_of(client, url), "consumer": "charges"}
    response = client.post(f"{url}/actions/pause", data=fields)
    assert response.status_code == 400
    assert "permission denied" in response.text or ROLE in response.text


def test_a_role_that_may_not_read(
    client: httpx2.Client, served: Serve, store: URL, databases: Databases
) -> None:
    databases.execute(f"REVOKE message_store_reader FROM {ROLE}")
    try:
        response = client.get(served(as_role(create_engine(store, poolclass=NullPool))))
        assert response.status_code == 503
        assert "unavailable" not in response.text.split('role="alert"')[1]
        assert "permission" in response.text or "privilege" in response.text
    finally:
        databases.execute(f"GRANT message_store_reader TO {ROLE}")
