"""Managed PostgreSQL often forbids CREATE ROLE, and extensions: the schema needs neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mdb_sqla import NotPermitted, migrations
from tests.migrations.conftest import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.client import Client


@pytest.fixture
def installer(client: Client, no_role: None) -> Client:
    """A client of a database without a store, who may create schemas in it and nothing else."""
    client.execute("DROP SCHEMA message_store CASCADE")
    client.execute("CREATE ROLE message_store_installer NOLOGIN NOSUPERUSER NOCREATEROLE")
    database = client.value("SELECT current_database()")
    client.execute(f'GRANT CREATE ON DATABASE "{database}" TO message_store_installer')
    client.execute("SET LOCAL ROLE message_store_installer")
    return client


def test_store_installs_and_works(
    installer: Client, every_call_answers: Callable[[Client], None]
) -> None:
    migrations.upgrade(installer.connection)

    every_call_answers(installer)


def test_no_role_is_created(installer: Client) -> None:
    migrations.upgrade(installer.connection)

    assert installer.value("SELECT to_regrole('message_store')") is None


def test_role_is_a_step_of_its_own(installer: Client) -> None:
    migrations.upgrade(installer.connection)

    with pytest.raises(NotPermitted, match="permission denied to create role"):
        migrations.upgrade(installer.connection, roles=True)


def test_role_step_needs_no_power_where_the_roles_exist(installer: Client) -> None:
    installer.execute("RESET ROLE")
    for role in ROLES:
        installer.execute(f"CREATE ROLE {role} LOGIN")
    installer.execute("SET LOCAL ROLE message_store_installer")

    migrations.upgrade(installer.connection, roles=True)

    installer.execute("RESET ROLE")
    installer.execute("SET LOCAL ROLE message_store")
    assert installer.write("account-1") == 0
