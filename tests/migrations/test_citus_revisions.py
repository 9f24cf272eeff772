"""Functions that Citus replaces are replaced again after a later revision changes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mdb_sqla.migrations.version_steps import CITUS, FIRST_ON_CITUS, STORE, VERSIONS

REVISIONS = Path(__file__).parents[2] / "alembic" / "versions"


def functions(revision: str) -> set[str]:
    return {file.stem for file in (REVISIONS / "sql" / revision / "functions").glob("*.sql")}


@pytest.mark.parametrize("version", [each for each in VERSIONS if each > FIRST_ON_CITUS])
def test_functions_of_citus_are_restored(version: str) -> None:
    of_citus = {name for each in VERSIONS if each < version for name in functions(f"{CITUS}{each}")}
    changed = functions(f"{STORE}{version}") & of_citus

    module = (REVISIONS / "citus" / f"{CITUS}{version}.py").read_text(encoding="utf-8")

    assert of_citus
    assert changed <= set(re.findall(r'"functions/(\w+)"', module)) | functions(f"{CITUS}{version}")
