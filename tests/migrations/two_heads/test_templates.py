"""What `alembic init` makes, with no more than our revisions added to it, run as a program."""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL

from tests.migrations.catalog import catalog
from tests.migrations.two_heads.application import FIRST_REVISION, STORE, run_script


def run_alembic(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "alembic", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def application_of(template: str, folder: Path, url: str) -> None:
    ini = folder / "alembic.ini"
    command.init(Config(ini, stdout=StringIO()), str(folder / "migrations"), template)
    text = re.sub(
        r"(?m)^path_separator = .*$",
        "path_separator = newline\n"
        f"version_locations =\n    {folder / 'migrations' / 'versions'}\n    {STORE}",
        ini.read_text(encoding="utf-8"),
    )
    text = re.sub(r"(?m)^sqlalchemy.url = .*$", f"sqlalchemy.url = {url.replace('%', '%%')}", text)
    ini.write_text(text, encoding="utf-8")
    (folder / "migrations" / "versions" / "app_0001.py").write_text(FIRST_REVISION)


@pytest.mark.parametrize(("template", "driver"), [("generic", "psycopg"), ("async", "asyncpg")])
def test_upgrade(tmp_path: Path, empty_database: URL, template: str, driver: str) -> None:
    url = empty_database.set(drivername=f"postgresql+{driver}")
    application_of(template, tmp_path, url.render_as_string(hide_password=False))

    run_alembic(tmp_path, "upgrade", "heads")

    installed = [row[:2] for row in catalog(empty_database)["relations"]]
    assert ("message_store", "messages") in installed
    assert ("public", "orders") in installed


def test_script_without_named_parameters(tmp_path: Path, empty_database: URL) -> None:
    application_of("generic", tmp_path, "postgresql+psycopg://")
    environment = tmp_path / "migrations" / "env.py"
    text = environment.read_text(encoding="utf-8")
    less = text.replace('        dialect_opts={"paramstyle": "named"},\n', "")
    assert less != text
    environment.write_text(less, encoding="utf-8")

    run_script(empty_database, run_alembic(tmp_path, "upgrade", "heads", "--sql"))

    assert ("public", "orders") in [row[:2] for row in catalog(empty_database)["relations"]]
