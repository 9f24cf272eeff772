"""The latest version of the store, and the way back to the one before."""

from __future__ import annotations

import pytest

from mdb_sqla.migrations.store_history import VERSIONS
from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.one_head.test_later_version import LATER, versions
from tests.migrations.two_heads.application import run_script

BEFORE, LATEST = VERSIONS[-2:]
WRITE = "SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')"
READ = "SELECT position FROM get_messages('{a,b}')"


@pytest.fixture(params=["", ", roles=True"], ids=["without roles", "with roles"])
def earlier(application: OneHead, request: pytest.FixtureRequest) -> OneHead:
    """The application, at the version before; its last revision can be applied."""
    application.call(upgrade=request.param, version=BEFORE)
    application.write("app_0004", LATER.replace("0002", LATEST).replace("0001", BEFORE))
    application.upgrade("app_0003")
    return application


def test_it_is_upgraded_and_reverted(earlier: OneHead) -> None:
    with connected(earlier.database) as connection:
        connection.execute(WRITE)
    before = catalog(earlier.database)

    earlier.upgrade()
    assert set(versions(earlier)) == {LATEST}
    after = catalog(earlier.database)
    assert after != before
    with connected(earlier.database) as connection:
        assert connection.execute(READ).fetchall() == [(0,)]

    earlier.downgrade("-1")
    assert set(versions(earlier)) == {BEFORE}
    assert catalog(earlier.database) == before
    with connected(earlier.database) as connection:
        assert connection.execute(READ).fetchall() == [(0,)]

    earlier.upgrade()
    assert catalog(earlier.database) == after


def test_a_script_reverts_it(earlier: OneHead) -> None:
    before = catalog(earlier.database)
    earlier.upgrade()

    run_script(earlier.database, earlier.downgrade_script("app_0004:app_0003"))

    assert catalog(earlier.database) == before
