"""The commands that set retention policies, and delete what they do not keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Group, MessagesDeleted, RetryPolicy, migrations
from mdb_sqla.consumers.group import Membership
from mdb_sqla.retention import job
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = create_engine(database, poolclass=NullPool)
    yield engine
    engine.dispose()


def consume(engine: Engine, name: str, *categories: str, **options: Any) -> None:
    consumer = Consumer(name, *categories, **options)
    consumer.on()(lambda message, unit: None)
    consumer.catch_up(sessionmaker(engine))


def left(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT stream_name FROM message_store.messages ORDER BY global_position")
        )
        return list(rows.scalars())


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ([], "until all consumers have handled them"),
        (["--keep-age", "30d"], "for 30 d"),
        (["--keep-age", "1d 12h"], "for 1 d 12 h"),
        (["--keep-last", "1"], "the last message of each stream"),
        (["--keep-last", "1000"], "the last 1,000 messages of each stream"),
        (
            ["--keep-age", "90min", "--keep-last", "2"],
            "for 1 h 30 min, and the last 2 messages of each stream",
        ),
        (
            ["--forget-versions"],
            "until all consumers have handled them; forget the versions of empty streams",
        ),
    ],
)
def test_a_policy_is_set_and_listed(database: URL, options: list[str], kept: str) -> None:
    done = mdb("retention", "set", "order", *options, url=database)

    assert done.stdout == f"Set the retention policy of order: keep {kept}.\n"
    assert mdb("retention", "list", url=database).stdout == f"order: keep {kept}\n"


def test_policies_as_json(database: URL) -> None:
    mdb("retention", "set", "order", "--keep-age", "36h", "--keep-last", "5", url=database)
    mdb("retention", "set", "email:command", "--forget-versions", url=database)

    assert told("retention", "list", url=database) == [
        {
            "category": "email:command",
            "keep_age": None,
            "keep_last": None,
            "keep_versions": False,
            "archive": None,
            "archive_format": "jsonl",
        },
        {
            "category": "order",
            "keep_age": 129_600.0,
            "keep_last": 5,
            "keep_versions": True,
            "archive": None,
            "archive_format": "jsonl",
        },
    ]


def test_a_policy_is_replaced_and_deleted(database: URL) -> None:
    mdb("retention", "set", "order", "--keep-age", "30d", url=database)
    mdb("retention", "set", "order", "--keep-last", "2", url=database)
    assert told("retention", "list", url=database)[0]["keep_age"] is None

    done = mdb("retention", "delete", "order", url=database)

    assert done.stdout == "Deleted the retention policy of order.\n"
    assert told("retention", "list", url=database) == []
    again = mdb("retention", "delete", "order", url=database, code=2)
    assert again.stderr == "mdb: There is no retention policy for category 'order'\n"


def test_what_is_deleted_and_what_is_held_back(engine: Engine) -> None:
    write(engine.url, ("order-1", "T"), ("order-2", "T"), ("order-3", "T"))
    consume(engine, "billing", "order")
    write(engine.url, ("order-4", "T"))
    consume(engine, "mailing", "order", start=5)
    mdb("retention", "set", "order", url=engine.url)
    mdb("retention", "set", "price", url=engine.url)

    dry = mdb("retention", "run", "--dry-run", url=engine.url).stdout
    assert len(left(engine)) == 4
    done = mdb("retention", "run", url=engine.url).stdout
    assert left(engine) == ["order-4"]

    order, deleted, held, *price = done.splitlines()
    assert order == "order: keep until all consumers have handled them"
    assert deleted.startswith("  deleted 3 messages, from 20")
    assert deleted.endswith("Z")
    assert held == "  held back: consumer billing is at 3"
    assert price == [
        "price: keep until all consumers have handled them",
        "  deleted 0 messages",
        "  held back: no consumer reads the category",
    ]
    assert dry == done.replace("deleted", "would delete")


def test_a_run_as_json(engine: Engine) -> None:
    write(engine.url, ("order-1", "T"), ("order-2", "T"))
    consume(engine, "billing", "order")
    write(engine.url, ("order-3", "T"))
    mdb("retention", "set", "order", url=engine.url)

    (dry,) = told("retention", "run", "--dry-run", url=engine.url)
    (done,) = told("retention", "run", url=engine.url)
    (again,) = told("retention", "run", url=engine.url)

    assert dry == done
    assert done["policy"]["category"] == "order"
    assert (done["messages"], again["messages"]) == (2, 0)
    assert (done["first_global_position"], done["last_global_position"]) == (1, 2)
    assert done["first_time"] <= done["last_time"]
    assert again["first_time"] is None
    assert done["holds"] == [
        {
            "consumer": "billing",
            "position": 2,
            "dead_letters": 0,
            "text": "consumer billing is at 2",
        }
    ]


def test_dead_letters_hold_back(engine: Engine) -> None:
    write(engine.url, ("order-1", "T"), ("order-1", "T"), ("order-2", "T"))
    consumer = Consumer(
        "billing", "order", on_failure="dead_letter", retry_policy=RetryPolicy(max_attempts=1)
    )

    @consumer.on()
    def fail(message: Any, unit: Any) -> None:
        if message.stream_name == "order-1":
            raise ValueError("never")

    consumer.catch_up(sessionmaker(engine))
    mdb("retention", "set", "order", url=engine.url)

    done = mdb("retention", "run", url=engine.url).stdout

    assert left(engine) == ["order-1", "order-1"]
    assert "  held back: consumer billing has 2 dead letters\n" in done


def test_an_open_transaction_that_holds_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdb_sqla.consumers.open_transactions.LONG", 0.0)
    write(engine.url, ("order-1", "T"))
    consume(engine, "billing", "order")
    mdb("retention", "set", "order", url=engine.url)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT message_store.write_message(gen_random_uuid()::text, 'order-1', 'T', '{}')"
            )
        )
        write(engine.url, ("order-2", "T"))
        consume(engine, "billing", "order")

        done = mdb("retention", "run", url=engine.url)

    assert "  held back: consumer billing is at 1\n" in done.stdout
    assert "to end it: SELECT pg_terminate_backend" in done.stdout + done.stderr


def test_chosen_categories(engine: Engine) -> None:
    for category in ("a", "b"):
        write(engine.url, (f"{category}-1", "T"))
        mdb("retention", "set", category, url=engine.url)
    consume(engine, "all")

    done = mdb("retention", "run", "--category", "b", url=engine.url)

    assert left(engine) == ["a-1"]
    assert done.stdout.startswith("b: keep ")
    refused = mdb("retention", "run", "--category", "c", url=engine.url, code=2)
    assert refused.stderr == "mdb: There is no retention policy for category 'c'\n"


def test_an_ignored_consumer_stops_and_is_told_what_to_do(engine: Engine) -> None:
    consume(engine, "billing", "order")
    write(engine.url, ("order-1", "T"), ("order-2", "T"))
    mdb("retention", "set", "order", url=engine.url)
    refused = mdb("retention", "run", "--ignore-consumer", "biling", url=engine.url, code=2)
    assert refused.stderr == "mdb: There is no consumer 'biling' to ignore\n"
    consume(engine, "mailing", "order")

    mdb("retention", "run", "--ignore-consumer", "billing", url=engine.url)

    assert left(engine) == []
    with pytest.raises(MessagesDeleted, match="mdb reset-consumer billing --start 3") as stopped:
        consume(engine, "billing", "order")
    command = str(stopped.value).rpartition("run mdb ")[2]
    mdb(*command.split(), url=engine.url)
    consume(engine, "billing", "order")


def test_a_run_that_is_interrupted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    write(engine.url, ("order-1", "T"))
    consume(engine, "billing", "order")
    mdb("retention", "set", "order", url=engine.url)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job.Job, "step", interrupt)
    done = mdb("retention", "run", url=engine.url, code=130)

    assert "Run it again to delete the rest." in done.stderr


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("set order-1", "Invalid stream name 'order-1': it must be a category"),
        ("set order --keep-age 0d", "A duration must be more than 0, got '0d'"),
        ("set order --keep-age -1d", "A duration must be like 30d, 12h, 90min or 30s, got '-1d'"),
        ("set order --keep-age 3", "A duration must be like 30d, 12h, 90min or 30s, got '3'"),
        ("set order --keep-age 9999999999d", "less than a billion days, got '9999999999d'"),
        ("set order --keep-last 0", "--keep-last"),
        ("set order --keep-last x", "--keep-last"),
        ("run --category order-1", "Invalid stream name 'order-1'"),
        ("nothing", "No such command 'nothing'"),
    ],
)
def test_what_is_wrong_changes_nothing(database: URL, command: str, expected: str) -> None:
    done = mdb("retention", *command.split(), url=database, code=2)

    assert expected in " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert told("retention", "list", url=database) == []


@pytest.mark.parametrize(
    "command", ["retention set order", "retention delete order", "retention run"]
)
def test_only_the_owner_may(engine: Engine, command: str) -> None:
    migrations.upgrade(engine, roles=True)
    write(engine.url, ("order-1", "T"))
    consume(engine, "billing", "order")
    mdb("retention", "set", "order", url=engine.url)
    client = engine.url.set(username="message_store")

    done = mdb(*command.split(), url=client, code=1)

    assert "permission denied for" in done.stderr
    assert len(left(engine)) == len(told("retention", "list", url=client)) == 1


def test_a_store_that_is_not_up_to_date(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE message_store.retention_policies"))

    done = mdb("retention", "run", url=engine.url, code=1)

    assert "is not up to date" in done.stderr


def test_a_consumer_is_deleted(engine: Engine) -> None:
    write(engine.url, ("order-1", "T"))
    consume(engine, "billing", "order")

    done = mdb("delete-consumer", "billing", url=engine.url)

    assert done.stdout == "Deleted consumer billing.\n"
    assert told("consumers", url=engine.url)["consumers"] == []
    assert left(engine) == ["order-1"]
    again = mdb("delete-consumer", "billing", url=engine.url, code=2)
    assert again.stderr == "mdb: There is no consumer 'billing'\n"


def test_a_running_member_is_not_deleted(engine: Engine) -> None:
    group = Group(slots=2, member="one", lease=60.0)
    consume(engine, "billing", "order", group=group)
    with sessionmaker(engine).begin() as session:
        Membership("billing", group).join(session)

    done = mdb("delete-consumer", "billing", url=engine.url, code=2)

    assert done.stderr == "mdb: Consumer 'billing' is running as member 'one': stop it first\n"
    assert len(told("consumers", url=engine.url)["consumers"]) == 1
