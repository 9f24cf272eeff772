"""What a user installs: the wheel, in an environment that has nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import URL

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel and the driver's binary in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    # By the pip of this environment: to install another takes longer than what it is for.
    python = folder / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", f"{wheel}[binary]", cwd=folder)
    return folder / "bin"


def test_the_wheel_has_every_revision_and_statement(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    revisions = ROOT / "alembic/versions"
    expected = {
        f"mdb_sqla/versions/{path.relative_to(revisions).as_posix()}"
        for pattern in ("**/*.py", "**/*.sql")
        for path in revisions.glob(pattern)
    }

    assert len(expected) > 20
    assert expected <= packed
    assert {"mdb_sqla/py.typed", "mdb_sqla/admin/verification/structure.sql"} <= packed
    assert not [name for name in packed if name.startswith(("tests", "examples", "alembic"))]


def test_the_package_index_gets_a_readme_with_absolute_links(wheel: Path) -> None:
    metadata = (
        zipfile.ZipFile(wheel).read(f"mdb_sqla-{PROJECT['version']}.dist-info/METADATA").decode()
    )
    url = PROJECT["urls"]["Repository"]
    links = re.findall(r'(?:\]\(|src="|srcset=")([^)"]+)', metadata)
    files = [link for link in links if link.startswith(f"{url}/") and "/HEAD/" in link]

    assert f"Project-URL: Repository, {url}\n" in metadata
    assert "Description-Content-Type: text/markdown\n" in metadata
    assert [link for link in links if not link.startswith("https://")] == []
    assert len(files) > 30
    paths = [link.partition("/HEAD/")[2].partition("#")[0] for link in files]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert f"{url}/raw/HEAD/docs/pictures/overview-light.svg" in files


def start_application(environment: Path, database: URL, tmp_path: Path) -> None:
    """Make an application with `alembic init`, and give it a database."""
    url = database.render_as_string(hide_password=False)
    run(environment / "alembic", "init", "migrations", cwd=tmp_path)
    ini = tmp_path / "alembic.ini"
    text = re.sub(
        "(?m)^sqlalchemy.url = .*$", f"sqlalchemy.url = {url.replace('%', '%%')}", ini.read_text()
    )
    ini.write_text(text)
    env = tmp_path / "migrations/env.py"
    env.write_text(
        env.read_text().replace(
            "target_metadata = None", "import sqlalchemy; target_metadata = sqlalchemy.MetaData()"
        )
    )


def test_an_application_upgrades_with_it(
    environment: Path, empty_database: URL, tmp_path: Path
) -> None:
    """What the README says."""
    start_application(environment, empty_database, tmp_path)
    run(environment / "mdb", "revision", cwd=tmp_path)
    run(environment / "alembic", "upgrade", "head", cwd=tmp_path)

    assert "No new upgrade operations" in run(environment / "alembic", "check", cwd=tmp_path)
    url = empty_database.render_as_string(hide_password=False)
    code = (
        "import sqlalchemy as sa; from mdb_sqla import *; "
        f"connection = sa.create_engine({url!r}).connect(); "
        "print(MessageStore(connection).write('a-1', Message('T')))"
    )
    assert run(environment / "python", "-c", code, cwd=tmp_path) == "0\n"


def test_the_command_works_without_extras(
    environment: Path, empty_database: URL, tmp_path: Path
) -> None:
    url = empty_database.render_as_string(hide_password=False)

    assert "is ready" in run(environment / "mdb", "upgrade", cwd=tmp_path, MDB_DATABASE_URL=url)
    failed = subprocess.run(
        [environment / "mdb", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert "mdb_sqla[embedded]" in failed.stderr


def test_the_editable_install_finds_the_revisions() -> None:
    """The environment of the tests has one."""
    from mdb_sqla.migrations import sql_files

    assert "CREATE" in sql_files.statement(
        "message_store_0001", "functions/category", "message_store"
    )


def test_python_versions_agree() -> None:
    minors = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["classifiers"]
        if "Python :: 3." in classifier
    ]

    assert PROJECT["requires-python"] == f">={minors[0]}"


def test_the_first_revision_of_an_application(
    environment: Path, empty_database: URL, tmp_path: Path
) -> None:
    """Where the store's history is a branch of its own, Alembic would put it into the package."""
    start_application(environment, empty_database, tmp_path)
    ini = tmp_path / "alembic.ini"
    separator = "path_separator = newline\nversion_locations =\n  "
    separator += "%(here)s/migrations/versions\n  mdb_sqla.versions:"
    ini.write_text(re.sub("(?m)^path_separator = os$", separator, ini.read_text()))
    run(environment / "alembic", "upgrade", "heads", cwd=tmp_path)
    command = [str(environment / "alembic"), "revision", "-m", "orders"]

    refused = [
        subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
        for options in ([], ["--autogenerate"])
    ]
    first = ("--head", "base", "--version-path", "migrations/versions", "--branch-label", "shop")
    run(*command, *first, cwd=tmp_path)
    run(environment / "alembic", "upgrade", "heads", cwd=tmp_path)
    run(*command, "--head", "shop@head", cwd=tmp_path)

    for done in refused:
        assert done.returncode != 0
        assert "the history of mdb_sqla" in done.stdout + done.stderr
    assert len(list((tmp_path / "migrations/versions").glob("*_orders.py"))) == 2
