from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.migrations.two_heads.application import Application


@pytest.fixture
def application(tmp_path: Path, empty_database: URL) -> Application:
    """An application on a database with nothing in it."""
    return Application(tmp_path, empty_database)
