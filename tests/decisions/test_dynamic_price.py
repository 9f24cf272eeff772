"""Products are ordered at the price that was displayed, if it is valid or was until recently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_

import pytest
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import AppendConditionFailed, Message, Query, UnitOfWork

GRACE = timedelta(minutes=10)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Outdated(Exception):
    pass


def prices_of(*products: int) -> Query:
    queries = (
        Query(categories=["product"], types=["PriceChanged"], tags=[f"product:{product}"])
        for product in products
    )
    return reduce(or_, queries)


class Shop:
    def __init__(self, factory: sessionmaker[Session]) -> None:
        self.factory = factory
        self.now = START

    def price(self, product: int, price: int) -> None:
        with UnitOfWork(self.factory) as unit:
            priced = Message("PriceChanged", {"price": price, "at": self.now.isoformat()})
            unit.write(f"product-{product}", priced, tags=[f"product:{product}"])
            unit.commit()

    def order(
        self, displayed: dict[int, int], *, in_between: tuple[int, int] | None = None
    ) -> None:
        query = prices_of(*displayed)
        with UnitOfWork(self.factory) as unit:
            seen = unit.store.read(query)
            valid: dict[str, list[int]] = {}
            for message in seen:
                prices = valid.setdefault(message.stream_name, [])
                if datetime.fromisoformat(message.data["at"]) <= self.now - GRACE:
                    prices.clear()
                prices.append(message.data["price"])
            for product, price in displayed.items():
                if price not in valid.get(f"product-{product}", []):
                    raise Outdated(product)
            if in_between is not None:
                self.price(*in_between)
            placed = Message("OrderPlaced", {"total": sum(displayed.values())})
            tags = [f"product:{product}" for product in displayed]
            unit.write("order-1", placed, tags=tags, unless=query.after(seen))
            unit.commit()


@pytest.fixture
def shop(factory: sessionmaker[Session]) -> Shop:
    shop = Shop(factory)
    shop.price(1, 100)
    shop.price(2, 50)
    shop.now += timedelta(hours=1)
    return shop


def test_rules(shop: Shop) -> None:
    shop.order({1: 100, 2: 50})
    for prices in ({1: 99}, {1: 100, 3: 1}):
        with pytest.raises(Outdated):
            shop.order(prices)

    shop.price(1, 120)
    shop.now += GRACE - timedelta(seconds=1)
    shop.order({1: 100})
    shop.order({1: 120, 2: 50})
    shop.now += timedelta(seconds=1)
    with pytest.raises(Outdated):
        shop.order({1: 100})
    shop.order({1: 120})


def test_a_price_that_changes_in_between(shop: Shop) -> None:
    with pytest.raises(AppendConditionFailed):
        shop.order({1: 100}, in_between=(1, 120))
    # Prices of other products do not matter.
    shop.order({1: 120}, in_between=(2, 60))
