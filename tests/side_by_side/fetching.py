from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.side_by_side.message_db import MessageDB, MessageDBUnavailable

_why_unavailable: dict[str, str] = {}


def fetched(version: str, folder: Path) -> MessageDB:
    """Fetch Message DB; the test is skipped where that can't be done, but fails under CI."""
    if version not in _why_unavailable:
        try:
            return MessageDB.fetch(version, folder)
        except MessageDBUnavailable as error:
            _why_unavailable[version] = str(error)
    if os.environ.get("CI"):
        pytest.fail(f"Message DB is needed: {_why_unavailable[version]}")
    pytest.skip(f"Message DB is not at hand: {_why_unavailable[version]}")
