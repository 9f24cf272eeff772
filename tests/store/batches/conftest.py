"""A store that writes its batches with the server's function, or copies them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from mdb_sqla import tables
from mdb_sqla.store import writes


@pytest.fixture(params=[False, True], ids=["function", "copy"])
def copies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether messages are copied, however few they are."""
    monkeypatch.setattr(writes, "COPY_THRESHOLD", 1 if request.param else 10**9)
    return bool(request.param)


@pytest.fixture
def store(flavour: Any, copies: bool) -> Iterator[Any]:
    with flavour.session() as session:
        yield flavour.store(session)


@pytest.fixture
def session(store: Any) -> Any:
    return store._db


def stored(flavour: Any, session: Any) -> list[tuple[Any, ...]]:
    m = tables.messages.c
    rows = flavour.run(
        session.execute(
            select(m.stream_name, m.position, m.type, m.data, m.metadata).order_by(
                m.global_position
            )
        )
    )
    return [tuple(row) for row in rows]
