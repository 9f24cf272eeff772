"""From the store's history as a branch of one's own to one head, and back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL

from mdb_sqla.migrations.store_history import LATEST
from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected, contents
from tests.migrations.one_head.conftest import OneHead
from tests.migrations.two_heads.application import FIRST_REVISION, ROLE, STORE, Application
from tests.migrations.two_heads.test_downgrade import consume, write

_MERGE = """
from mdb_sqla import migrations

revision = "app_0002"
down_revision = {parents}
branch_labels = None
depends_on = None


def upgrade():
    migrations.upgrade("{version}"{roles})


def downgrade():
    migrations.downgrade("base")
"""


def recorded(database: URL) -> list[str]:
    with connected(database, "public") as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1").fetchall()
    return [version for (version,) in rows]


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize("depends", [False, True], ids=["", "depends_on"])
@pytest.mark.parametrize("roles", [False, True], ids=["", "roles"])
def test_a_branch_becomes_part_of_the_one_head(
    tmp_path: Path, empty_database: URL, databases: Databases, roles: bool, depends: bool
) -> None:
    application = Application(tmp_path, empty_database)
    versions = tmp_path / "migrations" / "versions"
    first, merge = versions / "app_0001.py", versions / "app_0002.py"
    without = FIRST_REVISION.replace('"message_store_0001"', "None")
    if not depends:
        first.write_text(without)
    application.locations = [STORE, ROLE] if roles else [STORE]
    application.upgrade("heads")
    write(empty_database)
    consume(empty_database)
    before = contents(empty_database), catalog(empty_database)["functions"]

    # First: a revision that follows all that is recorded, whose upgrade() is a call.
    argument = ", roles=True" if roles else ""
    merge.write_text(
        _MERGE.format(version=LATEST, parents=tuple(recorded(empty_database)), roles=argument)
    )
    for _ in range(2):
        command.upgrade(application.config(), "heads")
        assert recorded(empty_database) == ["app_0002"]
    with databases.create() as fresh:
        application.database = fresh
        command.upgrade(application.config(), "heads")
        assert recorded(fresh) == ["app_0002"]
    application.database = empty_database

    # Then the locations go, and with them the parents and dependencies that are in there.
    application.locations = []
    merge.write_text(_MERGE.format(version=LATEST, parents='"app_0001"', roles=argument))
    first.write_text(without)
    command.upgrade(application.config(), "head")
    application.check()

    assert (contents(empty_database), catalog(empty_database)["functions"]) == before
    assert recorded(empty_database) == ["app_0002"]
    with databases.create() as fresh:
        application.database = fresh
        command.upgrade(application.config(), "head")
        assert catalog(fresh)["functions"] == before[1]
    application.database = empty_database
    application.downgrade(delete_messages="yes", delete_consumers="yes")
    assert [row[0] for row in catalog(empty_database)["schemas"]] == ["public"]


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize("roles", [False, True], ids=["", "roles"])
def test_the_one_head_becomes_two(application: OneHead, databases: Databases, roles: bool) -> None:
    if roles:
        application.call(", roles=True", ", roles=True")
    application.upgrade()
    write(application.database)
    before = contents(application.database), catalog(application.database)["functions"]

    application.locations = [STORE, ROLE] if roles else [STORE]
    revision = application.folder / "migrations" / "versions" / "app_0002.py"
    text = revision.read_text().replace(
        "depends_on = None", f'depends_on = "message_store_{LATEST}"'
    )
    revision.write_text(re.sub(r"migrations\.(up|down)grade\(.*\)", "pass", text))
    with connected(application.database) as connection:
        connection.execute("DROP TABLE message_store.mdb_sqla_version")
    command.upgrade(application.config(), "heads")
    application.check()

    assert (contents(application.database), catalog(application.database)["functions"]) == before
    with databases.create() as fresh:
        application.database = fresh
        command.upgrade(application.config(), "heads")
        assert catalog(fresh)["functions"] == before[1]
        application.downgrade()
        assert [row[0] for row in catalog(fresh)["schemas"]] == ["public"]


def test_alembic_merges_into_the_folder_of_the_application(
    tmp_path: Path, empty_database: URL
) -> None:
    """And goes on from there, with and without autogenerate."""
    application = Application(tmp_path, empty_database)
    first = tmp_path / "migrations" / "versions" / "app_0001.py"
    first.write_text(FIRST_REVISION.replace('"message_store_0001"', "None"))
    application.upgrade("heads")

    merged = command.merge(application.config(), "heads", message="one head")
    assert merged is not None
    assert Path(merged.path).parent == tmp_path / "migrations" / "versions"
    command.upgrade(application.config(), "head")
    for autogenerate in (False, True):
        made = command.revision(application.config(), message="next", autogenerate=autogenerate)
        assert made is not None
        assert not isinstance(made, list)
        assert Path(made.path).parent == tmp_path / "migrations" / "versions"
        command.upgrade(application.config(), "head")
    assert len(recorded(empty_database)) == 1


@pytest.mark.parametrize("autogenerate", [False, True])
def test_the_first_revision_does_not_land_in_the_package(
    tmp_path: Path, empty_database: URL, autogenerate: bool
) -> None:
    application = Application(tmp_path, empty_database)
    versions = tmp_path / "migrations" / "versions"
    (versions / "app_0001.py").unlink()
    application.upgrade("heads")
    config = application.config()
    package = Path(__file__).parents[3] / "alembic" / "versions"
    before = set(package.rglob("*.py"))

    with pytest.raises(CommandError, match="would become part of the history of mdb_sqla"):
        command.revision(config, message="first", autogenerate=autogenerate)
    made = command.revision(
        config, message="first", head="base", version_path=str(versions), branch_label="shop"
    )

    assert made is not None
    assert [*versions.glob("*_first.py")] != []
    assert set(package.rglob("*.py")) == before


@pytest.mark.filterwarnings("ignore:No path_separator found")
@pytest.mark.parametrize("separator", ["os", ":", None])
def test_a_wrong_path_separator_is_named(
    tmp_path: Path, empty_database: URL, separator: str | None
) -> None:
    application = Application(tmp_path, empty_database)
    application.config()
    ini = tmp_path / "alembic.ini"
    line = f"path_separator = {separator}" if separator else ""
    text = re.sub("path_separator = newline", line, ini.read_text(encoding="utf-8"))
    ini.write_text(text, encoding="utf-8")

    with pytest.raises(
        CommandError, match=r"split at the wrong place\. Set path_separator = newline"
    ):
        command.upgrade(Config(ini), "heads")
