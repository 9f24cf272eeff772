"""A message that can't be decoded is its own failure, and no other message's."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from mdb_sqla import Consumer, HandlerFailed, RetryPolicy, UndecodableMessage
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay
from tests.consumers.conftest import Application, Effect
from tests.consumers.test_replies import wait

FAST = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)


def write_bad(application: Application, stream_name: str = "order-1") -> None:
    """Write what Python can't decode, as another client may: an integer of 5001 digits."""
    statement = text(
        "SELECT message_store.write_message("
        "gen_random_uuid()::varchar, :stream, 'Bad', '{\"n\"\\: 1e5000}')"
    )
    with application.engine.begin() as connection:
        connection.execute(statement, {"stream": stream_name})


@pytest.fixture(params=["one by one", "batches", "in flight"])
def make(request: pytest.FixtureRequest, application: Application, handler: Any) -> Any:
    """Makes consumers that handle each type; in flight as well, where there is a loop."""
    max_in_flight = 4 if request.param == "in flight" else None
    if max_in_flight and not application.flavour.asynchronous:
        pytest.skip("what is in flight needs a loop")

    async def send(message: Any) -> None:
        async with application.factory() as session:
            session.add(Effect(number=message.data))
            await session.commit()

    def make(*types: str, **arguments: Any) -> Consumer:
        size = 3 if request.param == "batches" else 1
        consumer = Consumer(
            "billing",
            "order",
            retry_policy=FAST,
            transaction_size=size,
            max_in_flight=max_in_flight,
            poll_interval=(0.001, 0.01),
            **arguments,
        )
        consumer.on(*types)(send if max_in_flight else handler)
        return consumer

    return make


def test_a_time_that_python_does_not_have_is_set_aside(application: Application, make: Any) -> None:
    application.write("order-1", 1)
    write_bad(application)
    application.write("order-2", 3)
    with application.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE message_store.messages SET time = 'infinity', data = '2' WHERE type = 'Bad'"
            )
        )

    application.catch_up(make("T", "Bad", on_failure="dead_letter"))

    # In flight, the streams are handled in any order.
    assert sorted(application.effects()) == [1, 3]
    with application.engine.connect() as connection:
        (letter,) = dead_letters(connection, "billing")
    assert letter.global_position == 2
    assert "9999" in str(letter.error)


def test_it_stops_the_consumer_where_it_is(application: Application, make: Any) -> None:
    application.write("order-1", 1)
    write_bad(application)
    application.write("order-2", 3)

    with pytest.raises(HandlerFailed, match="message 2 of type 'Bad' in stream order-1") as raised:
        application.catch_up(make())

    cause = raised.value.__cause__
    assert isinstance(cause, UndecodableMessage)
    assert (cause.stream_name, cause.position, cause.global_position) == ("order-1", 1, 2)
    assert isinstance(cause.__cause__, ValueError)
    assert raised.value.attempts == 2
    assert pickle.loads(pickle.dumps(raised.value)).message.global_position == 2


def test_it_becomes_a_dead_letter(application: Application, make: Any) -> None:
    application.write("order-1", 1)
    write_bad(application)
    application.write("order-1", 3)
    application.write("order-2", 4)

    application.catch_up(make(on_failure="dead_letter"))

    assert sorted(application.effects()) == [1, 4]
    assert application.position("billing") == 4
    with application.engine.connect() as connection:
        bad, waiting = dead_letters(connection, "billing")
    assert (bad.global_position, bad.failed, bad.attempts) == (2, True, 2)
    assert "Message 2 of type 'Bad', position 1 of stream order-1," in (bad.error or "")
    assert (waiting.global_position, waiting.failed) == (3, False)


def test_it_fails_again_where_it_is_replayed(application: Application, make: Any) -> None:
    """Nor does it keep others from being replayed."""
    write_bad(application)
    write_bad(application, "order-2")
    application.catch_up(make(on_failure="dead_letter"))
    with application.engine.begin() as connection:
        assert replay(connection, "billing") == 2

    application.catch_up(make(on_failure="dead_letter"))

    with application.engine.connect() as connection:
        assert [letter.attempts for letter in dead_letters(connection, "billing")] == [4, 4]


def test_it_is_skipped_without_a_handler(application: Application, make: Any) -> None:
    application.write("order-1", 1)
    write_bad(application)
    application.write("order-1", 3)

    application.catch_up(make("T"))

    assert application.effects() == [1, 3]
    assert application.position("billing") == 3


def decoding(application: Application, decode: Callable[[str], Any]) -> Any:
    """Have the application's engine decode JSON like this."""
    create: Any = create_async_engine if application.flavour.asynchronous else create_engine
    engine = create(application.flavour.engine.url, json_deserializer=decode)
    application.factory.configure(bind=engine)
    return engine


@pytest.mark.parametrize("error", [RecursionError("too deep"), KeyError("unknown key")], ids=repr)
def test_a_deserializer_of_the_engines(
    application: Application, make: Any, error: Exception
) -> None:
    def decode(json_text: str) -> Any:
        if json_text == "2":
            raise error
        return json.loads(json_text)

    engine = decoding(application, decode)
    application.write("order-1", 1, 2)
    application.write("order-2", 3)

    application.catch_up(make(on_failure="dead_letter"))

    assert sorted(application.effects()) == [1, 3]
    with application.engine.connect() as connection:
        (letter,) = dead_letters(connection, "billing")
    assert type(error).__name__ in (letter.error or "")
    application.flavour.run(engine.dispose())


def test_a_deserializer_that_fails_for_a_while(application: Application, make: Any) -> None:
    """Each attempt decodes again."""
    failures = iter([ValueError("no key yet")] * 2)

    def decode(json_text: str) -> Any:
        for failure in failures:
            raise failure
        return json.loads(json_text)

    engine = decoding(application, decode)
    application.write("order-1", 1)

    application.catch_up(make())

    assert application.effects() == [1]
    application.flavour.run(engine.dispose())


def test_a_reply_that_can_not_be_decoded(application: Application) -> None:
    write_bad(application, "order:reply-1")

    with pytest.raises(UndecodableMessage, match="position 0 of stream order:reply-1"):
        wait(application, "order:reply-1", 20)


def test_a_position_to_take_over_that_can_not_be_decoded(
    application: Application, handler: Any
) -> None:
    statement = (
        "SELECT message_store.write_message(gen_random_uuid()::varchar, "
        "'order:position-billing', 'Recorded', '{\"position\"\\: 1e5000}')"
    )
    with application.engine.begin() as connection:
        connection.execute(text(statement))
    consumer = Consumer("billing", "order", take_over="order:position-billing")
    consumer.on("T")(handler)

    with pytest.raises(UndecodableMessage, match="stream order:position-billing"):
        application.catch_up(consumer)
