"""The reference has what is public, and what it names is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import mdb_sqla

PAGES = sorted((Path(__file__).parents[2] / "docs" / "reference").glob("*.md"))
DIRECTIVE = re.compile(r"^\.\. (currentmodule|auto\w+|py:data):: (.+)$", re.MULTILINE)


def named(page: Path) -> list[str]:
    """What a page documents, with its module."""
    names, module = [], ""
    for directive, name in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
        if directive == "currentmodule":
            module = f"{name}."
        elif directive == "automodule":
            names += [f"{name}.{each}" for each in importlib.import_module(name).__all__]
        else:
            names.append(name if name.startswith("mdb_sqla.") else module + name)
    return names


def test_all_of_the_package_is_there_once() -> None:
    everywhere = [name for page in PAGES for name in named(page)]

    assert {f"mdb_sqla.{name}" for name in mdb_sqla.__all__} <= {*everywhere}
    assert len(everywhere) == len({*everywhere})


def test_values_have_texts_of_their_own() -> None:
    """Sphinx would show the docstring of their type."""
    assert not [page for page in PAGES if "autodata" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_named_is_public(page: Path) -> None:
    for name in named(page):
        module, _, attribute = name.rpartition(".")
        assert attribute in importlib.import_module(module).__all__
