"""What takes an engine, and gets something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import InvalidArgument
from mdb_sqla.admin import (
    benchmark,
    create_database,
    delete_database,
    is_protected,
    lock_granularity,
    set_lock_granularity,
    set_protection,
    verify,
)

CALLS: dict[str, Callable[[Any], object]] = {
    "benchmark": benchmark,
    "create_database": create_database,
    "delete_database": delete_database,
    "is_protected": is_protected,
    "lock_granularity": lock_granularity,
    "set_lock_granularity": lambda engine: set_lock_granularity(engine, "stream"),
    "set_protection": lambda engine: set_protection(engine, True),
    "verify": verify,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_engine(call: Callable[[Any], object], connection: Connection, database: URL) -> None:
    others = [connection, create_async_engine(database), database, str(database)]
    for other in others:
        with pytest.raises(InvalidArgument, match=r"^engine must be an instance of .*Engine, got"):
            call(other)


def test_an_engine(database: URL) -> None:
    engine = create_engine(database)

    assert verify(engine).is_sound
    engine.dispose()
