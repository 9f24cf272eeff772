"""What can't be handled is set aside, and its stream with it; all other streams go on."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla import Consumer, InvalidArgument, RetryPolicy
from mdb_sqla.consumers.dead_letter_queue import dead_letters, replay, skip


class Billing:
    """A consumer whose handler fails for some numbers."""

    def __init__(self, application: Any, **arguments: Any) -> None:
        self.application = application
        self.failing: set[int] = set()
        self.handled: list[int] = []
        self.consumer = Consumer(
            "billing",
            "order",
            on_failure="dead_letter",
            retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001),
            **arguments,
        )
        self.consumer.on("T")(self.handle)

    def handle(self, message: Any, unit: Any) -> None:
        unit.session.execute(
            text("INSERT INTO effects (number) VALUES (:number)"), {"number": message.data}
        )
        if message.data in self.failing:
            raise ZeroDivisionError(f"number {message.data}")

    def catch_up(self) -> list[int]:
        self.application.catch_up(self.consumer)
        effects: list[int] = self.application.effects()
        return effects

    def letters(self) -> list[tuple[int, bool]]:
        with self.application.engine.connect() as connection:
            return [
                (letter.global_position, letter.failed)
                for letter in dead_letters(connection, "billing")
            ]

    def change(self, change: Any, *arguments: Any) -> Any:
        with self.application.engine.begin() as connection:
            return change(connection, "billing", *arguments)


@pytest.fixture(params=[1, 4], ids=["one by one", "batches"])
def billing(application: Any, request: pytest.FixtureRequest) -> Billing:
    # Global positions are the numbers.
    application.write("order-1", 1)
    application.write("order-2", 2)
    application.write("order-1", 3)
    application.write("order-2", 4)
    application.write("order-3", 5)
    return Billing(application, transaction_size=request.param)


def test_the_stream_waits_and_the_others_go_on(billing: Billing) -> None:
    billing.failing = {1}

    assert billing.catch_up() == [2, 4, 5]
    assert billing.letters() == [(1, True), (3, False)]
    assert billing.application.position("billing") == 5

    billing.application.write("order-1", 6)
    billing.application.write("order-2", 7)
    assert billing.catch_up() == [2, 4, 5, 7]
    assert billing.letters() == [(1, True), (3, False), (6, False)]


def test_it_is_logged(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    """Once for each failed message, after its transaction; those behind it are not."""
    billing.failing = {1}
    billing.catch_up()
    billing.catch_up()

    logged = [vars(record) for record in caplog.records]
    (found,) = [each for each in logged if each.get("event") == "consumer.dead_lettered"]
    fields = {"consumer": "billing", "slot": 0, "category": "order", "type": "T"}
    assert found | fields | {"position": 1, "attempts": 2} == found
    assert found["message"] == "Consumer billing dead-lettered message 1 of type T after 2 attempts"


def test_what_is_known_of_it(billing: Billing) -> None:
    billing.failing = {1}
    billing.catch_up()

    with billing.application.engine.connect() as connection:
        letter, waiting = dead_letters(connection)
    assert (letter.consumer, letter.stream_name, letter.position, letter.type) == (
        "billing",
        "order-1",
        0,
        "T",
    )
    assert letter.attempts == 2
    assert letter.error == "ZeroDivisionError: number 1"
    assert "Traceback" in (letter.traceback or "")
    assert "in handle" in (letter.traceback or "")
    assert (waiting.attempts, waiting.error) == (0, None)


@pytest.mark.parametrize("stream_name", [None, "order-1"])
def test_replay_handles_them_in_order(billing: Billing, stream_name: str | None) -> None:
    billing.failing = {1}
    billing.catch_up()
    billing.failing = set()
    billing.application.write("order-1", 6)

    assert billing.change(replay, stream_name) == 1

    assert billing.catch_up() == [2, 4, 5, 1, 3, 6]
    assert billing.letters() == []


def test_replay_that_fails_again(billing: Billing) -> None:
    billing.failing = {1}
    billing.catch_up()
    billing.change(replay)

    assert billing.catch_up() == [2, 4, 5]
    assert billing.letters() == [(1, True), (3, False)]
    with billing.application.engine.connect() as connection:
        assert dead_letters(connection)[0].attempts == 4


def test_replay_of_a_stream_whose_next_one_fails(billing: Billing) -> None:
    billing.failing = {1}
    billing.catch_up()
    billing.failing = {3}
    billing.change(replay)

    assert billing.catch_up() == [2, 4, 5, 1]
    assert billing.letters() == [(3, True)]


def test_replay_of_another_stream_changes_nothing(billing: Billing) -> None:
    billing.failing = {1}
    billing.catch_up()

    assert billing.change(replay, "order-2") == 0

    assert billing.catch_up() == [2, 4, 5]
    assert billing.letters() == [(1, True), (3, False)]


def test_skip_leaves_one_out(billing: Billing) -> None:
    billing.failing = {1}
    billing.catch_up()

    billing.change(skip, 1)

    assert billing.catch_up() == [2, 4, 5, 3]
    assert billing.letters() == []
    billing.application.write("order-1", 6)
    assert billing.catch_up() == [2, 4, 5, 3, 6]


def test_skip_of_what_is_not_there(billing: Billing) -> None:
    with pytest.raises(InvalidArgument, match="'billing' has no dead letter at global position 77"):
        billing.change(skip, 77)


def test_a_new_process_knows_what_is_set_aside(billing: Billing) -> None:
    billing.failing = {1}
    billing.catch_up()
    other = Billing(billing.application)
    billing.application.write("order-1", 6)

    assert other.catch_up() == [2, 4, 5]
    assert other.letters() == [(1, True), (3, False), (6, False)]
