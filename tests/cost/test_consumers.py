"""What a consumer costs for each message or transaction, beside the same loop by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from sqlalchemy import BigInteger, Engine, Text, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column, sessionmaker

from mdb_sqla import Consumer, functions
from tests.cost.conftest import Base, Counted, Effect, function_calls

NUMBER = 100

_names = count()


class Position(Base):
    __tablename__ = "positions"

    consumer: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)


EFFECTS: Any = Effect.__table__
POSITIONS: Any = Position.__table__


def consume(engine: Engine, transaction_size: int) -> None:
    consumer = Consumer(f"consumer-{next(_names)}", "order", transaction_size=transaction_size)

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        unit.session.execute(insert(EFFECTS).values(number=message.data))

    consumer.catch_up(sessionmaker(engine))


def consume_by_hand(engine: Engine, transaction_size: int) -> None:
    name, factory = f"by-hand-{next(_names)}", sessionmaker(engine)
    with factory() as session:
        session.add(Position(consumer=name, position=0))
        session.commit()
        messages = session.execute(select(functions.get_category_messages("order", 1, 1000))).all()
    for first in range(0, len(messages), transaction_size):
        with factory() as session:
            for message in messages[first : first + transaction_size]:
                session.execute(insert(EFFECTS).values(number=message.data))
            position = message.global_position
            moved = update(POSITIONS).where(POSITIONS.c.consumer == name).values(position=position)
            session.execute(moved)
            session.commit()


@pytest.mark.parametrize("transaction_size", [1, 50])
def test_a_transaction_saves_the_position_and_does_nothing_else(
    engine: Engine, write: Callable[[int], None], transaction_size: int
) -> None:
    write(NUMBER)
    counted = Counted(engine)
    consume(engine, transaction_size)

    transactions = NUMBER // transaction_size
    handled = counted.sent[counted.sent.index(next(s for s in counted.sent if "effects" in s)) :]
    assert sum("INSERT INTO effects" in statement for statement in handled) == NUMBER
    assert sum("UPDATE message_store.consumer_slots" in each for each in handled) == transactions
    assert handled.count("COMMIT") == transactions
    assert len(handled) == NUMBER + 2 * transactions


def test_a_message_takes_the_round_trips_of_a_loop_by_hand(
    engine: Engine, write: Callable[[int], None], round_trips: Any
) -> None:
    """BEGIN, the handler's INSERT, the position and COMMIT."""
    consume(engine, 1)  # looks up once for each engine whether the store is on Citus
    trips = []
    for number in (NUMBER, NUMBER):
        write(number)
        with round_trips() as made:
            consume(engine, 1)
        trips.append(len(made))

    # What it takes to start and to read is the same, in one batch.
    assert trips[1] - trips[0] == 4 * NUMBER


def test_function_calls_are_few_more_than_those_of_a_loop_by_hand(
    engine: Engine, write: Callable[[int], None]
) -> None:
    write(NUMBER)

    ours = function_calls(lambda: consume(engine, 1))
    by_hand = function_calls(lambda: consume_by_hand(engine, 1))

    # Those of reading, and of the start, are among them.
    assert ours < 1.25 * by_hand
