"""Names of streams that another client has written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from mdb_sqla.relay import CloudEvents, Relay
from tests.relay.conftest import POLL


@pytest.mark.parametrize("receiving", ["redis"], indirect=True)
def test_names_that_this_library_would_not_write(shop: Any, receiving: Any) -> None:
    names = ["-7", "-", "order-", "order"]
    with shop.engine.begin() as connection:
        for number, name in enumerate(names):
            write = text("SELECT message_store.write_message(:id, :name, 'T', :data)")
            id_ = f"00000000-0000-4000-8000-{number:012}"
            connection.execute(write, {"id": id_, "name": name, "data": str(number)})
    target = receiving.target(stream=lambda _: shop.category)
    relay = Relay("relay", to=target, poll_interval=POLL, cloud_events=CloudEvents("/shop"))
    shop.run(relay.catch_up_async(shop.factory))

    found = shop.run(receiving.received())
    assert {told.headers["stream_name"]: json.loads(told.body) for told in found} == {
        name: number for number, name in enumerate(names)
    }
    assert {told.headers["stream_name"]: told.headers.get("ce-partitionkey") for told in found} == {
        "-7": "7",
        "-": None,
        "order-": None,
        "order": None,
    }
