from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

INSERT = (
    "INSERT INTO message_store.messages (stream_name, position, type) "
    "VALUES ('account-1', :position, 'Opened') RETURNING "
)


def test_id_is_a_new_uuid(client: Client) -> None:
    ids = {client.value(INSERT + "id", position=position) for position in range(3)}

    assert len(ids) == 3
    assert all(isinstance(id_, UUID) and id_.version == 4 for id_ in ids)


def test_global_position_rises_over_all_streams(client: Client) -> None:
    positions = [client.value(INSERT + "global_position", position=place) for place in (7, 3, 5)]

    assert positions == sorted(set(positions))
    assert positions[0] >= 1


@pytest.mark.parametrize("time_zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_time_is_utc_whatever_the_time_zone_of_the_session(client: Client, time_zone: str) -> None:
    client.set_local("TimeZone", time_zone)

    is_utc = client.value(INSERT + "time = now() AT TIME ZONE 'utc'", position=0)

    assert is_utc is True
