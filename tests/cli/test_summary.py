from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, text

from mdb_sqla import InvalidArgument
from mdb_sqla.admin import sampled_counts, store_summary
from mdb_sqla.admin.store_summary import summary
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb


def fill(connection: Connection) -> None:
    """A category of 4,000 messages in 400 streams, one of 1,000 in one stream; 100 a day; gaps."""
    connection.execute(
        text(
            """
            INSERT INTO message_store.messages (global_position, stream_name, position, type, time)
            SELECT
              2 * number,
              CASE WHEN number % 5 = 0 THEN 'account-1' ELSE 'shop-' || number % 500 END,
              CASE WHEN number % 5 = 0 THEN number / 5 ELSE number / 500 END,
              'T',
              date_trunc('day', now() AT TIME ZONE 'utc') - (49 - number / 100) * interval '1 day'
            FROM generate_series(0, 4999) AS number
            """
        )
    )


@pytest.fixture
def filled(connection: Connection) -> Connection:
    fill(connection)
    return connection


def test_a_small_store_is_counted(filled: Connection) -> None:
    counted = summary(filled, days=3)

    assert (counted.messages, counted.streams, counted.categories) == (5000, 401, 2)
    assert [tuple(vars(each).values()) for each in counted.largest] == [
        ("shop", 4000, 400),
        ("account", 1000, 1),
    ]
    today = datetime.now(UTC).date()
    assert counted.days == {today - timedelta(days=ago): 100 for ago in (2, 1, 0)}
    assert (counted.every, counted.days_every) == (1, 1)
    assert counted.messages_per_day == 100
    assert counted.bytes_per_day == pytest.approx(100 / 5000 * counted.size.total)


@pytest.mark.parametrize("time", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_python_does_not_have_is_of_no_day(filled: Connection, time: str) -> None:
    filled.execute(
        text(
            "UPDATE message_store.messages SET time = CAST(:time AS timestamp) "
            "WHERE global_position = 9996"
        ),
        {"time": time},
    )

    counted = summary(filled, days=3)

    today = datetime.now(UTC).date()
    assert counted.messages == 5000
    assert counted.days == {today - timedelta(days=ago): 100 - (ago == 0) for ago in (2, 1, 0)}


def test_a_large_store_is_estimated(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_counts, "_MAX_EXACT", 1000)
    monkeypatch.setattr(sampled_counts, "_SAMPLE_SIZE", 1000)

    estimated = summary(filled, days=20)

    # More than four standard deviations; half of the positions are gaps.
    assert estimated.every == 9
    assert estimated.messages == pytest.approx(5000, rel=0.15)
    assert estimated.streams == pytest.approx(401, rel=0.2)
    assert estimated.categories == 2
    assert [each.category for each in estimated.largest] == ["shop", "account"]
    assert estimated.largest[0].messages == pytest.approx(4000, rel=0.2)
    assert estimated.days_every == 4
    assert sum(estimated.days.values()) == pytest.approx(2000, rel=0.2)


def test_messages_with_a_rhythm_are_met_all_the_same(
    filled: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every tenth position is one of `account`; a step of 10 would meet it always, or never.
    monkeypatch.setattr(sampled_counts, "_MAX_EXACT", 1000)
    monkeypatch.setattr(sampled_counts, "_SAMPLE_SIZE", 990)

    assert summary(filled).every == 10
    assert {each.category for each in summary(filled).largest} == {"shop", "account"}


def test_a_summary_leaves_the_random_numbers_of_the_application_alone(filled: Connection) -> None:
    before = random.getstate()

    summary(filled)

    assert random.getstate() == before


def test_categories_beyond_a_limit_are_not_counted(
    filled: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.admin.store_summary._MAX_CATEGORIES", 1)

    counted = summary(filled)

    assert (counted.categories, counted.categories_at_least) == (1, True)


def test_settings_are_taken_back(filled: Connection) -> None:
    summary(filled)

    assert filled.scalar(text("SHOW enable_seqscan")) == "on"


@pytest.mark.parametrize("wrong", [{"days": 1}, {"categories": 0}])
def test_bounds(connection: Connection, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="at least"):
        summary(connection, **wrong)


@pytest.fixture
def filled_database(database: URL) -> Iterator[Engine]:
    engine = create_engine(database)
    with engine.begin() as connection:
        fill(connection)
    yield engine
    engine.dispose()


def test_what_people_read(filled_database: Engine) -> None:
    printed = mdb("summary", "--days", "2", "--categories", "1", url=filled_database.url).stdout

    lines = [line.split() for line in printed.splitlines()]
    assert ["lock", "granularity", "stream"] in lines
    assert ["messages", "5,000"] in lines
    assert ["streams", "401"] in lines
    assert ["shop", "4,000", "400", "█" * 30] in lines
    assert [datetime.now(UTC).date().isoformat(), "100", "█" * 30] in lines
    assert "account" not in printed
    assert "estimated" not in printed


def test_what_programs_read(filled_database: Engine) -> None:
    printed = told("summary", url=filled_database.url)

    assert printed["messages"] == 5000
    assert printed["every"] == 1
    assert printed["size"]["total"] > printed["size"]["table"] > 0
    assert printed["growth"]["messages_per_day"] == 100
    assert printed["days"][-1]["messages"] == 100
    assert printed["contract"] == "1.3.0"


def test_an_empty_store(database: URL) -> None:
    printed = mdb("summary", url=database).stdout

    assert "No messages." in printed
    assert told("summary", url=database)["messages"] == 0


def test_one_message(database: URL) -> None:
    write(database, ("account-1", "Opened"))

    assert told("summary", url=database)["largest"] == [
        {"category": "account", "messages": 1, "streams": 1}
    ]


def test_another_schema(empty_database: URL) -> None:
    mdb("upgrade", "--schema", "events", url=empty_database)

    assert told("summary", "--schema", "events", url=empty_database)["size"]["total"] > 0


def test_dead_rows(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.begin() as connection:
        # Tests before may have left dead rows.
        connection.execute(
            text("SELECT pg_stat_reset_single_table_counters('message_store.messages'::regclass)")
        )
        fill(connection)
        connection.execute(
            text("ALTER TABLE message_store.messages SET (autovacuum_enabled = false)")
        )
        connection.execute(text("DELETE FROM message_store.messages WHERE position < 10"))
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    engine.dispose()
    with engine.connect() as connection:
        counted = summary(connection)
    assert (counted.messages, counted.dead_rows) == (990, 4010)
    assert not counted.is_vacuum_behind
    printed = mdb("summary", url=engine.url).stdout
    assert re.search(r"(?m)^dead rows +~4,010$", printed)
    assert "Autovacuum" not in printed
    monkeypatch.setattr(store_summary, "_MANY_DEAD_ROWS", 1000)
    assert "Autovacuum does not keep up" in mdb("summary", url=engine.url).stdout
    assert told("summary", url=engine.url)["dead_rows"] == 4010
