"""A process that kills itself in the middle of an operation."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

from sqlalchemy import create_engine

from mdb_sqla.projections import drop, rebuild, switch
from tests.projections.conftest import totals_of

_PLACES = {
    # At the end of the transaction, before its COMMIT.
    "prepare": "mdb_sqla.projections.version_fill.record",
    "switch": "mdb_sqla.projections.version_switch.record",
    "drop": "mdb_sqla.projections.overview.record",
}


def kill(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, operation: str) -> None:
    engine = create_engine(url)
    new = totals_of(2, factor=10)
    if operation == "fill":
        with patch("mdb_sqla.projections.fill_workers._BATCH_SIZE", 10):
            rebuild(engine, new, progress=lambda number: number > 20 and kill())
        return
    with patch(_PLACES[operation], kill):
        if operation == "prepare":
            rebuild(engine, new)
        elif operation == "switch":
            switch(engine, new)
        else:
            drop(engine, "totals", 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
