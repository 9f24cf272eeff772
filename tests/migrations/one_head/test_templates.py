"""What `alembic init` makes, with the revision that `mdb revision` writes, run as programs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL

from mdb_sqla.cli import main
from tests.migrations.catalog import catalog
from tests.migrations.conftest import connected
from tests.migrations.two_heads.application import run_script
from tests.migrations.two_heads.test_templates import run_alembic

WRITE = "SELECT write_message(gen_random_uuid()::varchar, 'a-1', 'A', '{}')"


def mdb_revision(folder: Path, *options: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["revision", "--config", str(folder / "alembic.ini"), *options])
    assert ended.value.code == 0


def application_of(template: str, folder: Path, url: URL | None) -> None:
    ini = folder / "alembic.ini"
    command.init(Config(ini), str(folder / "migrations"), template)
    written = "postgresql+psycopg://" if url is None else url.render_as_string(hide_password=False)
    line = f"sqlalchemy.url = {written.replace('%', '%%')}"
    text = re.sub(r"(?m)^sqlalchemy.url = .*$", line, ini.read_text(encoding="utf-8"))
    ini.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("template", "driver"), [("generic", "psycopg"), ("async", "asyncpg")])
def test_there_and_back(tmp_path: Path, empty_database: URL, template: str, driver: str) -> None:
    application_of(template, tmp_path, empty_database.set(drivername=f"postgresql+{driver}"))
    mdb_revision(tmp_path)

    run_alembic(tmp_path, "upgrade", "head")
    with connected(empty_database) as connection:
        assert connection.execute(WRITE).fetchone() == (0,)
        connection.execute("DELETE FROM messages")
    run_alembic(tmp_path, "downgrade", "-1")

    assert "message_store" not in {row[0] for row in catalog(empty_database)["schemas"]}


def test_a_project_that_is_configured_in_pyproject(tmp_path: Path, empty_database: URL) -> None:
    toml = tmp_path / "pyproject.toml"
    toml.write_text('[project]\nname = "shop"\n')
    ini = tmp_path / "alembic.ini"
    command.init(Config(ini, toml_file=toml), str(tmp_path / "migrations"), "pyproject")
    url = empty_database.render_as_string(hide_password=False).replace("%", "%%")
    text, number = re.subn("(?m)^sqlalchemy.url = .*$", f"sqlalchemy.url = {url}", ini.read_text())
    assert number == 1
    ini.write_text(text)

    mdb_revision(tmp_path, "-m", "the store")
    run_alembic(tmp_path, "upgrade", "head")

    assert len([*(tmp_path / "migrations" / "versions").glob("*_the_store.py")]) == 1
    assert "message_store" in {row[0] for row in catalog(empty_database)["schemas"]}


@pytest.mark.usefixtures("no_store_role")
def test_the_script(tmp_path: Path, empty_database: URL) -> None:
    application_of("generic", tmp_path, None)
    mdb_revision(tmp_path, "--roles", "--lock-granularity", "category")

    run_script(empty_database, run_alembic(tmp_path, "upgrade", "head", "--sql"))

    with connected(empty_database, role="message_store_reader") as reader:
        assert reader.execute("SELECT lock_granularity()").fetchone() == ("category",)
