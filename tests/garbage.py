"""What is imported and collected stays until the end of a run: no garbage collection visits it."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Keep it out of the collections that follow, each of which would take a fifth of a second."""
    gc.collect()
    gc.freeze()
