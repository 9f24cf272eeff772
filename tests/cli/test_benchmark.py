from __future__ import annotations

import pytest
from sqlalchemy import URL, Connection, Engine, text

from mdb_sqla import InvalidArgument
from mdb_sqla.admin import server_benchmark as module
from mdb_sqla.admin.granularity_switch import set_lock_granularity
from mdb_sqla.admin.server_benchmark import MOST, benchmark
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb

MESSAGES = text("SELECT stream_name, type FROM message_store.messages")
DRAWN = text("SELECT pg_sequence_last_value('message_store.messages_global_position_seq')")


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_it_writes_and_reads_and_leaves_nothing(engine: Engine, granularity: str) -> None:
    write(engine.url, ("account-1", "Opened"))
    set_lock_granularity(engine, granularity)

    measured = benchmark(engine, 2500)

    assert measured.messages == 2500
    assert measured.write_seconds > 0
    assert measured.read_seconds > 0
    with engine.connect() as connection:
        assert connection.execute(MESSAGES).all() == [("account-1", "Opened")]
        # They were written.
        assert connection.scalar(DRAWN) == 1 + 2500


def test_what_is_printed(database: URL) -> None:
    lines = mdb("benchmark", "--messages", "10", url=database).stdout.splitlines()

    assert lines[0].split() == ["function", "messages", "time", "per", "second"]
    assert lines[1].split()[:2] == ["write_message", "10"]
    assert lines[2].split()[:2] == ["get_stream_messages", "10"]
    assert told("benchmark", "--messages", "10", url=database)["messages"] == 10


@pytest.mark.parametrize("number", [0, MOST + 1])
def test_bounds(engine: Engine, number: int) -> None:
    with pytest.raises(InvalidArgument, match=f"from 1 to {MOST}, got {number}"):
        benchmark(engine, number)


def test_every_message_is_read(connection: Connection) -> None:
    assert connection.scalar(module._write("mdbBenchmark-1", 25)) == 24
    assert connection.scalar(module._read("mdbBenchmark-1", 25)) == 24
    assert connection.scalar(module._read("mdbBenchmark-1", 10)) == 9
