"""A revision never changes once it is released: a change is a new revision."""

from __future__ import annotations

import hashlib
from pathlib import Path

REVISIONS = Path(__file__).parents[2] / "alembic" / "versions"
CHECKSUMS = Path(__file__).parent / "checksums.txt"
"""As `sha256sum` writes it. A new revision adds lines to it; none of the others changes."""


def test_released_revisions_are_as_they_were() -> None:
    recorded = {
        name: checksum
        for checksum, name in (line.split() for line in CHECKSUMS.read_text().splitlines())
    }
    files = [*REVISIONS.rglob("*.py"), *REVISIONS.rglob("*.sql")]

    assert {
        str(file.relative_to(REVISIONS)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != "__init__.py"
    } == recorded
