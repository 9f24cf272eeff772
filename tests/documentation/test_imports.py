"""What applications import is little, and all that the documentation imports is part of it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "mdb_sqla",
    "mdb_sqla.admin",
    "mdb_sqla.archive",
    "mdb_sqla.embedded",
    "mdb_sqla.encryption",
    "mdb_sqla.entities",
    "mdb_sqla.erasure",
    "mdb_sqla.functions",
    "mdb_sqla.metrics",
    "mdb_sqla.migrations",
    "mdb_sqla.projections",
    "mdb_sqla.relay",
    "mdb_sqla.retention",
    "mdb_sqla.tables",
    "mdb_sqla.testing",
    "mdb_sqla.transfer",
    "mdb_sqla.web",
}
BROKERS = {f"mdb_sqla.relay.{name}" for name in ("confluent", "kafka", "nats", "rabbitmq", "redis")}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = sorted((ROOT / "examples").rglob("*.py"))
NAMED = re.compile(r"`(mdb_sqla(?:\.[a-z_]+)*)\.(\w+)\(?[^`]*`")
METRICS = ("mdb_sqla.consumer.",)
"""How the names of metrics begin, which are no modules."""

SNIPPET = re.compile(
    r"^```(?:\{code-block\} )?python.*?\n(?::[\w-]+:.*\n)*(.*?)^```", re.MULTILINE | re.DOTALL
)


def imported(code: str) -> Iterator[tuple[str, str]]:
    """Yield each name that is imported of the package, with its module."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mdb_sqla"):
            for alias in node.names:
                yield str(node.module), alias.name


def assert_public(code: str) -> None:
    for module, name in imported(code):
        if module == "mdb_sqla" and f"mdb_sqla.{name}" in PUBLIC:
            continue
        assert module in PUBLIC | BROKERS, f"{module} is private"
        assert name in importlib.import_module(module).__all__, f"{module}.{name} is private"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages(page: Path) -> None:
    for snippet in SNIPPET.findall(page.read_text(encoding="utf-8")):
        assert_public(snippet)


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_what_pages_name_is_there(page: Path) -> None:
    if "reference" in page.parts:
        pytest.skip("test_reference looks at these")
    for module, name in NAMED.findall(page.read_text(encoding="utf-8")):
        if f"{module}.{name}".startswith(METRICS):
            continue
        if find_spec(f"{module}.{name}") is None:
            assert name in importlib.import_module(module).__all__, f"{module}.{name}"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples(program: Path) -> None:
    assert_public(program.read_text(encoding="utf-8"))


def test_there_is_something_to_look_at() -> None:
    snippets = [
        code for page in PAGES for code in SNIPPET.findall(page.read_text(encoding="utf-8"))
    ]

    assert len([name for code in snippets for name in imported(code)]) > 50
    assert len(PROGRAMS) > 3


@pytest.mark.parametrize(
    "code", ["from mdb_sqla.store import read_statements", "from mdb_sqla import nothing"]
)
def test_what_is_private_is_found(code: str) -> None:
    with pytest.raises(AssertionError, match="is private"):
        assert_public(code)
