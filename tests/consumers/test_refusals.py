"""What a consumer is not made with, and does not run with."""

from __future__ import annotations

import asyncio
import random
from functools import wraps
from typing import Any

import pytest
from sqlalchemy import URL

from mdb_sqla import Consumer, Group, InvalidArgument, RetryPolicy, StoreNotInstalled
from mdb_sqla.consumers.dead_letter_queue import dead_letters
from tests.conftest import Flavour
from tests.consumers.conftest import Application


def test_a_slot_number_that_changes_is_refused(application: Any, handler: Any) -> None:
    for size, refused in [(2, False), (3, True)]:
        consumer = Consumer("billing", "order", consumer_group_member=0, consumer_group_size=size)
        consumer.on("T")(handler)
        if refused:
            with pytest.raises(InvalidArgument, match="partitioned into 2 slots, not 3"):
                application.catch_up(consumer)
        else:
            application.catch_up(consumer)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": 1},
        {"batch_size": 0},
        {"transaction_size": True},
        {"start": -1},
    ],
)
def test_bad_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as error:
        Consumer(**{"name": "billing", **arguments})

    assert repr(next(iter(arguments.values()))) in str(error.value)


@pytest.mark.parametrize("group", [None, Group()])
@pytest.mark.parametrize(
    ("driver", "asynchronous"), [("psycopg", False), ("psycopg", True), ("asyncpg", True)]
)
def test_a_database_without_a_store(
    empty_database: URL,
    runner: asyncio.Runner,
    driver: str,
    asynchronous: bool,
    group: Group | None,
) -> None:
    flavour = Flavour(driver, asynchronous, empty_database, runner)
    application = Application(flavour)
    consumer = Consumer("billing", "order", group=group)
    consumer.on()(lambda message, unit: None)

    with pytest.raises(StoreNotInstalled, match="run mdb upgrade"):
        application.catch_up(consumer)
    application.engine.dispose()
    flavour.run(flavour.engine.dispose())


def test_names_are_as_long_as_a_key_allows(application: Any) -> None:
    name = "ü" * 500
    Consumer(name, "order", group=Group(member=name))
    with pytest.raises(InvalidArgument, match=r"name must be at most 1,000 bytes, got 1,001"):
        Consumer(name + "x", "order")
    with pytest.raises(InvalidArgument, match=r"member must be at most 1,000 bytes"):
        Group(member=name + "x")

    # Both are in one key.
    names = [
        "".join(map(chr, random.Random(seed).choices(range(0x4E00, 0x9FFF), k=333)))
        for seed in (1, 2)
    ]
    consumer = Consumer(
        names[0], "order", group=Group(slots=2, member=names[1]), on_failure="dead_letter"
    )
    consumer.on()(lambda message, unit: None)
    application.catch_up(consumer)
    assert application.position(names[0]) is not None


def test_bad_handlers(application: Any) -> None:
    consumer = Consumer("billing", "order")
    consumer.on("T")(lambda message, unit: None)
    with pytest.raises(InvalidArgument, match="'T' already have a handler"):
        consumer.on("T")(lambda message, unit: None)
    not_callable: Any = "f"
    with pytest.raises(InvalidArgument, match="'f'"):
        consumer.on("U")(not_callable)
    with pytest.raises(InvalidArgument, match="sessionmaker"):
        consumer.run(application.engine)


def test_handlers_with_other_parameters_are_refused_at_once() -> None:
    consumer = Consumer("billing", "order")

    async def only_the_message(message: Any) -> None: ...

    class Taking:
        def __call__(self, message: Any, unit: Any, third: Any) -> None: ...

    expected = {
        only_the_message: r"with \(message, unit\), but only_the_message takes .*too many",
        Taking(): r"but Taking takes .*missing a required argument: 'third'",
        lambda: None: r"takes \(\): too many positional arguments",
        lambda message, unit, *, retry: None: "missing a required .*'retry'",
    }
    for handler, match in expected.items():
        with pytest.raises(InvalidArgument, match=match):
            consumer.on("T")(handler)  # type: ignore[type-var]

    @wraps(Taking.__call__)
    def passing(message: Any, unit: Any) -> None:
        Taking()(message, unit, 3)

    consumer.on("Passed")(passing)
    for accepted in (lambda *arguments: None, lambda message, unit, third=3: None):
        consumer.on(f"T{accepted.__code__.co_argcount}")(accepted)
    Consumer("mail", "order", max_in_flight=2).on("T")(only_the_message)
    with pytest.raises(InvalidArgument, match=r"with \(message\), but"):
        Consumer("mail", "order", max_in_flight=2).on("T")(lambda message, unit: None)


def test_sessions_without_transactions_are_refused(application: Any) -> None:
    consumer = Consumer(
        "billing", "order", retry_policy=RetryPolicy(max_attempts=1), on_failure="dead_letter"
    )
    consumer.on("T")(lambda message, unit: None)
    application.write("order-1", 1)
    engine = application.flavour.engine.execution_options(isolation_level="AUTOCOMMIT")
    application.factory.configure(bind=engine)

    with pytest.raises(InvalidArgument, match="AUTOCOMMIT"):
        application.catch_up(consumer)

    with application.engine.connect() as connection:
        assert dead_letters(connection) == []
