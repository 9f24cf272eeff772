"""Every module can be imported first, and imports no more than it needs."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mdb_sqla

MODULES = [module.name for module in pkgutil.walk_packages(mdb_sqla.__path__, "mdb_sqla.")]


@pytest.fixture(scope="module")
def import_errors() -> Any:
    """The error of each module where it is the first of the package to be imported, or ''."""
    program = Path(__file__).with_name("module_imports.py")
    return json.loads(run(str(program), *MODULES))


def run(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def test_alembic_loads_the_plug_in() -> None:
    """Alembic loads it while it is itself half imported."""
    code = "import alembic.command, alembic.runtime.plugins as p; print(*p._all_plugins)"

    assert "alembic.autogenerate.mdb_sqla" in run("-c", code).split()


@pytest.mark.parametrize(
    "name",
    ["alembic", "typer", "rich", "sqlalchemy.ext.asyncio", "psycopg", "pytest", "opentelemetry"],
)
def test_the_package_imports_only_what_it_needs(name: str) -> None:
    assert run("-c", f"import sys, mdb_sqla; print({name!r} in sys.modules)").strip() == "False"


@pytest.mark.parametrize(
    "name", ["faststream", "pydantic", "nats", "aio_pika", "aiokafka", "cryptography", "cachetools"]
)
def test_only_what_needs_an_extra_imports_it(name: str) -> None:
    modules = "mdb_sqla.cli, mdb_sqla.erasure, mdb_sqla.relay.inbox"
    code = f"import sys, {modules}; mdb_sqla.cli._app(); print({name!r} in sys.modules)"
    assert run("-c", code).strip() == "False"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported_first(name: str, import_errors: dict[str, str]) -> None:
    assert import_errors[name] == ""


@pytest.mark.parametrize("name", ["mdb_sqla", *MODULES])
def test_the_names_of_a_module_are_its_all(name: str) -> None:
    module = importlib.import_module(name)
    if name == "mdb_sqla.versions":
        return

    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (getattr(value, "__module__", None) == name or name == "mdb_sqla")
        and not key.startswith("mdb_sqla")
        and type(value).__name__ != "module"
    }

    assert set(module.__all__) >= defined
    assert all(hasattr(module, key) for key in module.__all__)
    assert len(module.__all__) == len(set(module.__all__))
