"""What a run measured, and where, as a JSON document."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comparison import Outcome
from benchmarks.server import SETTINGS
from benchmarks.size import Size
from tests.side_by_side.message_db import PACKAGES

__all__ = ["Document", "document", "write"]

Document = dict[str, Any]

_PACKAGES = (
    *("mdb_sqla", "SQLAlchemy", "psycopg", "orjson"),
    *("message-db-py", "eventsourcing", "faststream", "faststream-outbox"),
)


def document(outcomes: Sequence[Outcome], size: Size, rounds: int, postgresql: str) -> Document:
    """Return everything of a run, each round of each side with it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "size": size.name,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {
            "PostgreSQL": postgresql,
            "Python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
            "original": PACKAGES["1.3.0"],
        },
        "settings": SETTINGS,
        "comparisons": [_comparison(outcome) for outcome in outcomes],
    }


def write(file: Path, content: Document) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _comparison(outcome: Outcome) -> Document:
    return {
        "what": outcome.what,
        "unit": outcome.unit,
        "sides": {
            name: {"median": median(rounds), "rounds": list(rounds)}
            for name, rounds in outcome.measured.items()
        },
        "rows": [
            {
                "label": row.label,
                "against": row.against,
                "ratio": row.ratio,
                "target": row.target,
                "met": row.met,
            }
            for row in outcome.rows()
        ],
    }
