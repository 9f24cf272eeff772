"""What a run measured, and where, as a JSON document."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comparison import Bar, Outcome
from benchmarks.size import Size

__all__ = ["Document", "document", "outcomes_of", "read", "write"]

Document = dict[str, Any]

_PACKAGES = (
    *("mdb_sqla", "SQLAlchemy", "psycopg", "orjson"),
    *("message-db-py", "eventsourcing", "faststream", "faststream-outbox"),
    *("pgqueuer", "procrastinate"),
)


def document(
    outcomes: Sequence[Outcome],
    size: Size,
    rounds: int,
    *,
    postgresql: str,
    original: str,
    settings: Mapping[str, str],
) -> Document:
    """Return everything of a run, each round of each side with it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        **_commit(),
        "size": size.name,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {
            "PostgreSQL": postgresql,
            "Python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
            "original": original,
        },
        "settings": {**settings},
        "notes": [
            "Stores use the default lock granularity, `stream`. Reads of a category, with each "
            "filter, are measured with both, and the slower one counts."
        ],
        "comparisons": [_comparison(outcome) for outcome in outcomes],
    }


def read(file: Path) -> Document:
    content: Document = json.loads(file.read_text(encoding="utf-8"))
    return content


def outcomes_of(content: Document) -> list[Outcome]:
    """Return what was measured, from a document."""
    return [
        Outcome(
            comparison["what"],
            comparison["unit"],
            {name: side["rounds"] for name, side in comparison["sides"].items()},
            [Bar(row["label"], row["against"], row["target"]) for row in comparison["rows"]],
        )
        for comparison in content["comparisons"]
    ]


def write(file: Path, content: Document) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _commit() -> dict[str, str]:
    """Return the checkout's commit; nothing where there is no checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": done.stdout.strip()}


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
