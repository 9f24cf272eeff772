"""Where the application's own revision installed the store, no downgrade loses anything unasked."""

from __future__ import annotations

import pytest
from alembic.util import CommandError

from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected, contents
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.two_heads.application import ScriptFailedError, run_script
from tests.migrations.two_heads.test_downgrade import CONSUMERS, EVERYTHING, consume, write


@pytest.fixture
def used(application: OneHead) -> OneHead:
    """The application with messages, and consumers that have begun, one step short of the store."""
    application.upgrade()
    write(application.database)
    consume(application.database)
    application.downgrade("-1")
    return application


@pytest.mark.parametrize("per_migration", [False, True])
@pytest.mark.parametrize("target", ["-1", "app_0001", "base"])
def test_it_is_refused_and_nothing_is_changed(
    used: OneHead, target: str, per_migration: bool
) -> None:
    used.configure["transaction_per_migration"] = per_migration
    before = catalog(used.database), contents(used.database)

    with pytest.raises(CommandError) as refused:
        used.downgrade(target)

    assert EVERYTHING in str(refused.value)
    assert "alembic -x delete_consumers=yes -x delete_messages=yes downgrade" in str(refused.value)
    assert (catalog(used.database), contents(used.database)) == before
    with connected(used.database, "public") as connection:
        version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert version == [("app_0002",)]


@pytest.mark.parametrize("asked", ["messages", "consumers"])
def test_leave_to_delete_the_one_is_none_to_delete_the_other(used: OneHead, asked: str) -> None:
    before = catalog(used.database)

    with pytest.raises(CommandError) as refused:
        used.downgrade(**{f"delete_{asked}": "yes"})

    assert f"delete_{asked}" not in str(refused.value)
    assert catalog(used.database) == before


@pytest.mark.parametrize("said", ["by the command", "in the revision"])
def test_all_is_deleted_when_asked(used: OneHead, said: str) -> None:
    if said == "by the command":
        used.downgrade(delete_messages="yes", delete_consumers="yes")
    else:
        used.call(downgrade=", delete_messages=True, delete_consumers=True")
        used.downgrade()

    assert [row[0] for row in catalog(used.database)["schemas"]] == ["public"]


@pytest.mark.parametrize("table", CONSUMERS)
def test_each_table_of_consumers_is_guarded(application: OneHead, table: str) -> None:
    application.upgrade()
    consume(application.database, table)

    with pytest.raises(CommandError, match=r"\(1\); consumers: (billing|shipping)"):
        application.downgrade()
    application.downgrade(delete_consumers="yes")


def test_the_script_refuses_too(used: OneHead) -> None:
    before = catalog(used.database)

    with pytest.raises(ScriptFailedError, match=r"positions \(1\).*consumers: billing"):
        run_script(used.database, used.downgrade_script("app_0002:app_0001"))
    assert catalog(used.database) == before

    script = used.downgrade_script(
        "app_0002:app_0001", delete_messages="yes", delete_consumers="yes"
    )
    run_script(used.database, script)
    assert [row[0] for row in catalog(used.database)["schemas"]] == ["public"]


def test_what_others_built_on_the_store_is_not_dropped(application: OneHead) -> None:
    application.upgrade()
    with connected(application.database) as connection:
        connection.execute("CREATE VIEW public.busy AS SELECT * FROM stream_summary")
    before = catalog(application.database)

    with pytest.raises(Exception, match=r"view public\.busy|view busy"):
        application.downgrade()

    assert catalog(application.database) == before
