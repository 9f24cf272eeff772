from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from mdb_sqla import migrations
from tests.migrations.conftest import ROLES

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.fixture
def no_role(client: Client) -> None:
    """Take the names from roles that the server has already; roles belong to all its databases."""
    for role in ROLES:
        if client.value("SELECT to_regrole(:role) IS NOT NULL", role=role):
            client.execute(f"ALTER ROLE {role} RENAME TO {role}_before_the_test")


@pytest.fixture
def new_role(client: Client, no_role: None) -> None:
    """The role as the upgrade creates it, in a transaction that is rolled back as everything is."""
    migrations.upgrade(client.connection, roles=True)


@pytest.fixture(params=["new", "existing"])
def as_role(client: Client, no_role: None, request: pytest.FixtureRequest) -> Callable[[], Client]:
    """Become the role; nothing is open to everyone, so that what it may do was granted to it."""
    if request.param == "existing":
        client.execute("CREATE ROLE message_store LOGIN")
    client.execute("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA message_store FROM PUBLIC")
    migrations.upgrade(client.connection, roles=True)

    def become() -> Client:
        client.execute("SET LOCAL ROLE message_store")
        return client

    return become
