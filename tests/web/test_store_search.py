"""Searches for streams, categories and messages, without a browser."""

from __future__ import annotations

from sqlalchemy import Connection

from mdb_sqla.web.store_search import find_names, find_position
from tests.web.stored_messages import stored, write


def test_find_names(connection: Connection) -> None:
    for stream in ("order-1", "order-12", "order-2", "orderLine-1", "invoice-1", "Order-3"):
        write(connection, stream)

    def streams(text: str) -> list[str]:
        return [each["stream"] for each in find_names(connection, text) if "stream" in each]

    def categories(text: str) -> list[str]:
        return [each["category"] for each in find_names(connection, text) if "category" in each]

    assert streams("order-1") == ["order-1"]
    assert streams("order-") == ["order-1", "order-12", "order-2"]
    assert set(streams("1")) == {"order-1", "orderLine-1", "invoice-1"}
    assert categories("ORDER") == ["Order", "order", "orderLine"]
    assert categories("order") == ["order"]
    assert find_names(connection, "x" * 8_000) == []


def test_find_position(connection: Connection) -> None:
    (position,) = write(connection, "a-1")
    id_ = stored(connection, position).id
    assert find_position(connection, str(position)) == position
    assert find_position(connection, str(id_)) == position
    assert find_position(connection, f"{{{id_}}}".upper()) == position
    assert find_position(connection, "9" * 32) is None
    assert find_position(connection, "a-1") is None
