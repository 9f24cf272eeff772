from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from tests.conftest import Databases


@pytest.fixture(scope="module")
def stage_database(databases: Databases, template: URL) -> Iterator[URL]:
    """A database with an empty store, which every test leaves as it was."""
    with databases.create(template) as url:
        yield url
