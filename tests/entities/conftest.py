"""Tests of entities share a database, which is emptied for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, create_engine


@pytest.fixture
def engine(clean_database: URL) -> Iterator[Engine]:
    engine = create_engine(clean_database)
    yield engine
    engine.dispose()
