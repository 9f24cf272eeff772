from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.usefixtures("new_role")
def test_role_may_log_in_and_has_no_password_and_no_other_power(client: Client) -> None:
    role = client.execute(
        "SELECT rolcanlogin, rolpassword, rolsuper, rolcreaterole, rolcreatedb, rolreplication,"
        " rolbypassrls "
        "FROM pg_authid WHERE rolname = 'message_store'"
    )

    assert role.one() == (True, None, False, False, False, False, False)


@pytest.mark.usefixtures("new_role")
def test_role_is_a_member_of_no_other(client: Client) -> None:
    memberships = client.value(
        "SELECT count(*) FROM pg_auth_members WHERE member = 'message_store'::regrole"
    )

    assert memberships == 0
