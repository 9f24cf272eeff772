"""What is refused where it is written, with the type that came."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import pytest
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mdb_sqla import (
    Consumer,
    Group,
    Host,
    InvalidArgument,
    Message,
    MessagePosition,
    RetryPolicy,
    UnitOfWork,
    request,
)
from mdb_sqla.admin.reports import report
from mdb_sqla.consumers.consumer_lag import lag
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay, skip
from mdb_sqla.tables import consumers
from mdb_sqla.testing.catch_up import catch_up


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": None}, "None (NoneType)"),
        ({"name": "a\0"}, "'a\\x00' (str)"),
        ({"group": 4}, "group must be an instance of mdb_sqla.Group, got 4 (int)"),
        (
            {"retry_policy": 3},
            "retry_policy must be an instance of mdb_sqla.RetryPolicy, got 3 (int)",
        ),
        (
            {"retry_policy": 0},
            "retry_policy must be an instance of mdb_sqla.RetryPolicy, got 0 (int)",
        ),
        (
            {"poll_interval": 1},
            "poll_interval must be a (shortest, longest) pair in seconds, got 1",
        ),
        (
            {"poll_interval": "ab"},
            "poll_interval must be a (shortest, longest) pair in seconds, got 'ab'",
        ),
        (
            {"poll_interval": (1, "2")},
            "poll_interval must be a positive number of seconds, got '2' (str)",
        ),
        ({"poll_interval": (0.1, float("nan"))}, "nan (float)"),
        (
            {"start": "1"},
            "start must be an integer from 0 to 9223372036854775806, or 'earliest', got '1' (str)",
        ),
        ({"start": 2**63 - 1}, "start must be an integer from 0 to 9223372036854775806"),
        ({"start": MessagePosition(0, 1)}, "(mdb_sqla.MessagePosition)"),
        ({"start": 2**63}, "start must be an integer"),
        ({"batch_size": 1.0}, "batch_size must be an integer of at least 1, got 1.0 (float)"),
        ({"max_in_flight": "1"}, "max_in_flight must be an integer of at least 1, got '1' (str)"),
        ({"strict": "no"}, "strict must be True or False, got 'no' (str)"),
        ({"on_failure": True}, "on_failure must be one of 'stop', 'dead_letter', got True (bool)"),
        ({"take_over": 4}, "it must be a string, got int"),
        ({"take_over": "order"}, "take_over must be a stream name, such as 'order:position-name'"),
        ({"correlation": "shop-1"}, "it must be a category, such as 'shop', not a stream"),
        ({"correlation": 4}, "it must be a string, got int"),
        ({"condition": 4}, "condition must be a string without NUL or surrogates, got 4 (int)"),
        ({"consumer_group_size": 2}, "consumer_group_member must be an integer"),
        ({"consumer_group_member": 2, "consumer_group_size": 2}, "2 of 2"),
        ({"consumer_group_member": "0", "consumer_group_size": 2}, "'0' (str)"),
        (
            {"group": Group(), "consumer_group_member": 0, "consumer_group_size": 2},
            "group and consumer_group_size are mutually exclusive",
        ),
    ],
)
def test_of_a_consumer(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(named)):
        Consumer(**{"name": "billing", **arguments})


@pytest.mark.parametrize(
    ("category", "named"),
    [
        ("order-1", "it must be a category, such as 'order', not a stream"),
        (["order"], "it must be a string, got list"),
        (Group(), "it must be a string, got mdb_sqla.Group"),
        ("", "the category must not be empty"),
    ],
)
def test_a_category_that_is_none(application: Any, category: Any, named: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(named)):
        Consumer("billing", category)
    with Session(application.engine) as session, pytest.raises(InvalidArgument):
        lag(session, "billing", category)


def test_a_filter_that_there_is_not() -> None:
    unknown: Any = {"correlated": "shop"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'correlated'"):
        Consumer("billing", **unknown)


def test_a_decorator_without_parentheses() -> None:
    consumer = Consumer("billing", "order")
    with pytest.raises(InvalidArgument, match=r"message type must be a non-empty string.*function"):

        @consumer.on  # type: ignore[call-overload, unused-ignore]  # what is tested
        def handle(message: Any, unit: Any) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"slots": "16"}, "'16' (str)"),
        ({"slots": True}, "True (bool)"),
        ({"slots": 2**31}, "2147483648"),
        ({"lease": "10"}, "'10' (str)"),
        ({"lease": 0}, "0 (int)"),
        ({"member": 4}, "4 (int)"),
        ({"member": "a\0"}, "(str)"),
    ],
)
def test_of_a_group(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(named)):
        Group(**arguments)


def test_of_a_host_and_of_those_that_run_consumers(application: Any) -> None:
    consumer: Any = Consumer("billing", "order")
    anything: Any = "billing"
    with pytest.raises(InvalidArgument, match=re.escape("'billing' (str)")):
        Host(application.factory, anything)
    with pytest.raises(InvalidArgument, match=r"an instance of mdb_sqla\.Consumer.*list"):
        Host(application.factory, [consumer])  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidArgument, match=r"sessionmaker or an async_sessionmaker.*Engine"):
        Host(application.engine, consumer)
    sync: Any = sessionmaker(application.engine)
    with pytest.raises(InvalidArgument, match=re.escape("'billing' (str)")):
        catch_up(sync, anything)
    with pytest.raises(InvalidArgument, match=re.escape("limit must be an integer of at least 1")):
        catch_up(sync, consumer, limit=0)


@pytest.mark.parametrize("message", [{"type": "Place"}, "Place"])
def test_of_a_request(application: Any, message: Any) -> None:
    factory = sessionmaker(application.engine)
    with pytest.raises(InvalidArgument, match=f"must be an instance of .*{type(message).__name__}"):
        request(factory, "order:command-1", message)
    with pytest.raises(
        InvalidArgument, match=re.escape("timeout must be a positive number of seconds, got '1'")
    ):
        request(factory, "order:command-1", Message("Place"), "1")  # type: ignore[arg-type]


def test_of_dead_letters(application: Any) -> None:
    factory = sessionmaker(application.engine)
    scoped = scoped_session(factory)
    assert dead_letters(scoped, "billing") == []  # type: ignore[arg-type]  # it is let through
    scoped.remove()
    with factory() as session:
        calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
            (dead_letters, (factory,), {}, "sessionmaker"),
            (dead_letters, (session, 4), {}, "4 (int)"),
            (replay, (application.engine, "billing"), {}, "Engine"),
            (replay, (session, ["billing"]), {}, "['billing'] (list)"),
            (replay, (session, "billing", 7), {}, "stream_name must be a non-empty string"),
            (skip, (session, "billing", "7"), {}, "global_position must be an integer"),
            (skip, (session, 7, "billing"), {}, "'billing' (str)"),
            (lag, (factory, "billing"), {}, "sessionmaker"),
            (lag, (session, 4), {}, "4 (int)"),
            (lag, (session, "billing"), {"types": "T"}, "'T' (str)"),
            (lag, (session, "billing"), {"correlation": "shop-1"}, "such as 'shop'"),
            (report, (factory, "type"), {}, "sessionmaker"),
        ]
        for function, arguments, options, named in calls:
            with pytest.raises(InvalidArgument, match=re.escape(named)):
                function(*arguments, **options)


class Name(str, Enum):  # noqa: UP042
    """Not a `StrEnum`: `str()` of a member is `Name.CONSUMER`."""

    CONSUMER = "billing"
    CATEGORY = "order"
    STREAM = "order-1"
    TYPE = "T"
    MEMBER = "one"


def test_a_string_that_is_also_an_enum_is_its_value(application: Any) -> None:
    factory = sessionmaker(application.engine)
    consumer = Consumer(
        Name.CONSUMER,
        Name.CATEGORY,
        group=Group(slots=2, member=Name.MEMBER),
        retry_policy=RetryPolicy(max_attempts=1),
        on_failure="dead_letter",
    )

    @consumer.on(Name.TYPE)
    def fail(message: Any, unit: Any) -> None:
        raise ValueError(message.type)

    with UnitOfWork(factory) as unit:
        unit.write(Name.STREAM, Message(Name.TYPE))
        unit.commit()
    catch_up(factory, consumer)

    assert f"{consumer.name} {consumer.sharing}" == "billing one, 2 slots"
    assert consumer.handlers.names.keys() == {"T"}
    with Session(application.engine) as session:
        registered = session.execute(
            consumers.select().where(consumers.c.consumer == Name.CONSUMER)
        ).one()
        assert (registered.consumer, registered.categories) == ("billing", ["order"])
        assert registered.types == ["T"]
        (letter,) = dead_letters(session, Name.CONSUMER)
        assert (letter.consumer, letter.stream_name) == ("billing", "order-1")
        assert lag(session, Name.CONSUMER, Name.CATEGORY, types=[Name.TYPE]).dead_letters == 1
        assert replay(session, Name.CONSUMER, Name.STREAM) == 1
        skip(session, Name.CONSUMER, letter.global_position)
