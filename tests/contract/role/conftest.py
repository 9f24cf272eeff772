from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from mdb_sqla import migrate

if TYPE_CHECKING:
    from tests.contract.conftest import Client


@pytest.fixture
def no_role(client: Client) -> None:
    """Take the name from a role that the server has already; roles belong to all its databases."""
    if client.value("SELECT to_regrole('message_store') IS NOT NULL"):
        client.execute("ALTER ROLE message_store RENAME TO message_store_before_the_test")


@pytest.fixture
def new_role(client: Client, no_role: None) -> None:
    """The role as the upgrade creates it, in a transaction that is rolled back as everything is."""
    migrate.upgrade(client.connection, role=True)


@pytest.fixture(params=["new", "existing"])
def as_role(client: Client, no_role: None, request: pytest.FixtureRequest) -> Callable[[], Client]:
    """Become the role; nothing is open to everyone, so that what it may do was granted to it."""
    if request.param == "existing":
        client.execute("CREATE ROLE message_store LOGIN")
    client.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC")
    migrate.upgrade(client.connection, role=True)

    def become() -> Client:
        client.execute("SET LOCAL ROLE message_store")
        return client

    return become
