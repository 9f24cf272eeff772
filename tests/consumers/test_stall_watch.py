"""While a consumer finds nothing, it logs which open transactions hold it back."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mdb_sqla import Message, MessageStore
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from tests.consumers.conftest import Lines
from tests.consumers.running import Handled, consumer_of, run


def test_who_holds_it_back_is_logged(
    application: Any, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.consumers.stall_watch._FIRST", 0.02)
    monkeypatch.setattr("mdb_sqla.consumers.stall_watch.LONG", 0.0)
    set_lock_granularity(application.engine, "stream")
    handled = Handled()

    def script() -> None:
        with application.engine.connect() as writer:
            MessageStore(writer).write("order-1", Message("T", 1))
            pid = writer.scalar(text("SELECT pg_backend_pid()"))
            application.write("order-2", 2)
            lines.wait_for(rf"Consumer billing is held back at position 0 by pid {pid} ", 2)
            assert handled.numbers == []
            writer.commit()
        handled.wait_for(2)

    try:
        run(application, consumer_of(handled), script)
    finally:
        set_lock_granularity(application.engine, "category")
    assert application.effects() == [1, 2]


@pytest.mark.parametrize(
    "error",
    [LookupError("not here"), OperationalError("SELECT", {}, TimeoutError("not here"))],
    ids=["wrong", "passing"],
)
def test_one_that_can_not_see_it_goes_on(
    application: Any, lines: Lines, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("mdb_sqla.consumers.stall_watch._FIRST", 0.02)
    handled = Handled()

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("mdb_sqla.consumers.stall_watch.holding_back", refuse)

    def script() -> None:
        lines.wait_for("could not check which transactions hold it back.*not here")
        application.write("order-1", 1)
        handled.wait_for(1)

    run(application, consumer_of(handled), script)

    assert not lines.has("was interrupted")
