"""Concurrent writers to the same rows: no message is lost, and each row has them in order."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from decimal import Decimal

import pytest

from mdb_sqla import MessageStore, TransactionConflict, UnitOfWork, admin
from mdb_sqla.projections import attach, make_inline
from tests.projections.conftest import Placed, Shop, customers_of, totals_of, types

WRITERS = 6
TRANSACTIONS = 40
CUSTOMERS = "abc"


@pytest.mark.parametrize("granularity", ["stream", "category"])
def test_race(shop: Shop, granularity: str) -> None:
    admin.set_lock_granularity(shop.engine, granularity)
    projections = customers_of(), totals_of()
    attach(shop.engine, *projections)
    for each in projections:
        make_inline(shop.engine, each)
    errors: list[BaseException] = []

    def write(number: int) -> None:
        chance = random.Random(number)
        for _ in range(TRANSACTIONS):
            while True:
                with UnitOfWork(shop.factory, types=types) as unit:
                    for _ in range(chance.randint(1, 3)):
                        customer = chance.choice(CUSTOMERS)
                        stream = f"order-{chance.randint(1, 5)}"
                        unit.write(stream, Placed(customer, Decimal(1)))
                    try:
                        unit.commit()
                    except TransactionConflict:
                        continue
                    except BaseException as error:
                        errors.append(error)
                        return
                break

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    expected: dict[str, list[int]] = defaultdict(list)
    with shop.factory() as session:
        for message in MessageStore(session).read_category("order", 1, -1):
            expected[message.data["customer"]].append(message.global_position)
    found = {
        name: [int(n) for n in trace.split(",")[:-1]]
        for name, (_, trace) in shop.customers().items()
    }
    assert found == expected
