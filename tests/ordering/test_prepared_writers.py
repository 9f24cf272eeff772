"""Prepared transactions hold readers back as well, also after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from mdb_sqla import Message, MessageStore, migrations
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.embedded import EmbeddedPostgres
from tests.folders import open_folder
from tests.ordering.open_writers import commit, found, held_back, pid_of
from tests.waiting import wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def prepare(engine: Engine, stream: str) -> None:
    """Write a message in a transaction that is prepared and forgotten."""
    with engine.connect() as connection:
        MessageStore(connection).write(stream, Message("T"))
        connection.execute(text("PREPARE TRANSACTION 'it''s forgotten'"))
        connection.invalidate()


def number_of_messages(engine: Engine, category: str) -> int:
    with engine.connect() as connection:
        return len(MessageStore(connection).read_category(category))


def end(engine: Engine, writer: OpenWriter) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(writer.remedy))


def test_a_prepared_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        if connection.scalar(text("SHOW max_prepared_transactions")) == "0":
            pytest.skip("The server prepares no transactions")
    set_lock_granularity(engine, "category")
    prepare(engine, "account-1")
    commit(engine, "shop-1")

    (told,) = found(engine)

    try:
        assert (told.pid, told.gid, told.position) == (None, "it's forgotten", 0)
        assert (told.role, told.application) == (engine.url.username, None)
        assert (told.categories, told.waits_for) == ((), ())  # no message of it is committed
        assert held_back(engine, ["account", "shop"], 0) == [None]
        assert held_back(engine, ["shop"], 0) == []
        waiting = Thread(target=commit, args=(engine, "account-2"))
        waiting.start()
        wait_until(lambda: held_back(engine, ["account"], 2))
    finally:
        end(engine, told)
    waiting.join()
    assert found(engine) == []


def test_a_prepared_transaction_after_a_restart(
    request: pytest.FixtureRequest, folder: Path
) -> None:
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start a server again")
    server = EmbeddedPostgres(
        folder / "data",
        binaries=Path(where) if where else None,
        settings={"fsync": "off", "max_prepared_transactions": "2"},
    )
    with server:
        engine = create_engine(server.url(), poolclass=NullPool)
        migrations.upgrade(engine)
        set_lock_granularity(engine, "stream")
        prepare(engine, "account-1")
        commit(engine, "shop-1")
    with server:
        engine = create_engine(server.url(), poolclass=NullPool)
        (told,) = found(engine)
        # With floors, readers wait for what is prepared in any category while theirs is locked.
        assert held_back(engine, ["shop"], 0) == []
        assert number_of_messages(engine, "shop") == 1
        with engine.connect() as writer:
            MessageStore(writer).write("shop-2", Message("T"))
            pid = pid_of(writer)
            commit(engine, "shop-3")
            assert held_back(engine, ["shop"], 0) == [None, pid]
            assert number_of_messages(engine, "shop") == 0
        end(engine, told)
        assert found(engine) == []

    assert (told.pid, told.gid, told.position) == (None, "it's forgotten", 0)
    assert told.seconds is not None
    assert str(told) == (
        f"""held back at position 0 by prepared transaction "it's forgotten" """
        f"(role postgres, prepared for {told.seconds:.0f} s)"
    )
