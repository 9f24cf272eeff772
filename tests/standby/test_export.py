"""Exports that are read from a standby."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mdb_sqla import InvalidArgument, ReadNotExact, migrations
from mdb_sqla.transfer import RawReader, export, message_export
from mdb_sqla.transfer.standby_transactions import StandbyTransactions
from tests.standby.reading import Reads, open_writer, write
from tests.standby.servers import Server, replication


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Server, Server]]:
    with replication(request, folder) as (primary, (standby,)):
        migrations.upgrade(primary.engine)
        yield primary, standby


def exported(
    primary: Server, standby: Server, name: str | None = None, **given: float
) -> list[str | None]:
    with primary.engine.connect() as here, standby.engine.connect() as there:
        return [
            message.data
            for batch in export(here, RawReader(name), read_from=there, **given)
            for message in batch
        ]


def test_what_is_settled_is_read_from_the_standby(servers: tuple[Server, Server]) -> None:
    primary, standby = servers
    assert exported(primary, standby) == []
    with (
        primary.engine.connect() as here,
        standby.engine.connect() as there,
        pytest.raises(InvalidArgument, match="beyond the end"),
    ):
        list(export(here, RawReader(position=7), read_from=there))
    write(primary.engine, "order-1", 1, 2)
    with open_writer(primary.engine, "order-2", 3) as connection:
        write(primary.engine, "other-1", 4)
        on_primary = Reads(primary.engine)
        assert exported(primary, standby) == ["1", "2"]
        assert exported(primary, standby, "other") == ["4"]
        connection.commit()
    assert exported(primary, standby) == ["1", "2", "3", "4"]
    assert exported(primary, standby, "order-1") == ["1", "2"]
    assert on_primary.number == 0


def test_what_was_not_returned_is_read_again(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = servers
    write(primary.engine, "again-1", 1, 2)
    reader = RawReader("again")
    monkeypatch.setattr(message_export, "remains_standby", lambda _: False)
    with primary.engine.connect() as here, standby.engine.connect() as there:
        with pytest.raises(ReadNotExact, match="was promoted"):
            list(export(here, reader, read_from=there))
        monkeypatch.undo()
        assert [len(batch) for batch in export(here, reader, read_from=there)] == [2]


@pytest.mark.parametrize("name", [None, "order", "order-9"])
def test_what_the_reader_has_written_itself_is_not_skipped(
    servers: tuple[Server, Server], name: str | None
) -> None:
    """The standby lacks it until it is committed, and later messages are already there."""
    primary, standby = servers
    with open_writer(primary.engine, "order-9", 8) as connection, standby.engine.connect() as there:
        write(primary.engine, "other-9", 9)
        with pytest.raises(InvalidArgument, match="must have written nothing"):
            list(export(connection, RawReader(name), read_from=there))


@pytest.mark.parametrize("name", [None, "order", "order-1"])
@pytest.mark.parametrize("level", ["AUTOCOMMIT", "REPEATABLE READ"])
def test_only_read_committed_sees_what_was_waited_for(
    servers: tuple[Server, Server], level: str, name: str | None
) -> None:
    primary, standby = servers
    write(primary.engine, "order-1", 0)
    standby.wait_for(primary)
    with primary.engine.connect() as here, standby.engine.connect() as there:
        there.execution_options(isolation_level=level)
        with pytest.raises(ReadNotExact, match="on the primary server"):
            list(export(here, RawReader(name), read_from=there))


def test_a_snapshot_does_not_see_what_was_waited_for(servers: tuple[Server, Server]) -> None:
    primary, standby = servers
    with primary.engine.connect() as here, standby.engine.connect() as there:
        there.execution_options(isolation_level="REPEATABLE READ")
        there.execute(text("SELECT 1"))
        write(primary.engine, "order-1", 0)
        standby.wait_for(primary)
        transactions = StandbyTransactions(here, None, max_wait=20)
        with pytest.raises(
            ReadNotExact, match="isolation level on the standby is not READ COMMITTED"
        ):
            transactions.begin(there)


def test_what_was_deleted_since_is_named(servers: tuple[Server, Server]) -> None:
    primary, standby = servers
    write(primary.engine, "gone-1", *range(10))
    with primary.engine.connect() as here, standby.engine.connect() as there:
        transactions = StandbyTransactions(here, "gone", max_wait=20)
        with primary.engine.begin() as connection:
            connection.execute(text("SELECT message_store.erase_stream('gone-1', 'test', true)"))
        standby.wait_for(primary)
        with pytest.raises(ReadNotExact, match="deleted since"):
            transactions.begin(there)


def test_a_standby_that_lags_is_refused(servers: tuple[Server, Server]) -> None:
    primary, standby = servers
    standby.pause_replay()
    try:
        write(primary.engine, "order-1", 5)
        with pytest.raises(ReadNotExact, match="it lags"):
            exported(primary, standby, max_wait=0.1)
    finally:
        standby.resume_replay()


def test_what_is_no_standby_of_the_primary_is_refused(servers: tuple[Server, Server]) -> None:
    primary, standby = servers
    write(primary.engine, "order-1", 6)
    with pytest.raises(ReadNotExact, match="must be a standby"):
        exported(primary, primary)
    # It may have another history: its last restart point is on the timeline before.
    standby.wait_for(primary)
    primary.crash()
    (primary.data / "standby.signal").touch()
    primary.start(primary.address)
    primary.promote()
    write(primary.engine, "order-1", 7)
    standby.wait_for(primary)
    with pytest.raises(ReadNotExact, match="on timeline 2"):
        exported(primary, standby, max_wait=5)
    primary.query("CHECKPOINT")
    standby.wait_for(primary)
    standby.query("CHECKPOINT")
    assert exported(primary, standby)[-1] == "7"
