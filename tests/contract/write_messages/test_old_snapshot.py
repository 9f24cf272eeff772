"""What a snapshot does not see of a newer transaction is a serialization failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

SERIALIZATION_FAILURE = "40001"
ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"
MESSAGE: dict[str, Any] = {"id": ID, "stream_name": "account-1", "type": "Opened", "data": {}}


@pytest.fixture
def current(open_any_client: OpenClient) -> Client:
    """A client that sees everything that is committed."""
    return open_any_client()


@pytest.fixture(params=["REPEATABLE READ", "SERIALIZABLE"])
def late(open_any_client: OpenClient, request: pytest.FixtureRequest) -> Client:
    """A client whose snapshot is that of an empty store."""
    late = open_any_client(request.param)
    assert late.message_count() == 0
    return late


@pytest.mark.parametrize("expected_versions", [None, {"account-1": -1}, {"account-1": 0}])
@pytest.mark.parametrize("idempotent", [True, False])
def test_stream_has_moved(
    current: Client, late: Client, expected_versions: dict[str, int] | None, idempotent: bool
) -> None:
    current.write("account-1")
    current.connection.commit()

    with late.refused(SERIALIZATION_FAILURE):
        late.write_batch(
            "shop-1", "account-1", expected_versions=expected_versions, idempotent=idempotent
        )

    late.connection.rollback()
    assert [position for position, _ in late.write_batch("shop-1", "account-1")] == [0, 1]


def test_stream_that_is_only_read_has_moved(current: Client, late: Client) -> None:
    current.write("shop-1")
    current.connection.commit()

    with late.refused(SERIALIZATION_FAILURE):
        late.write_batch("account-1", expected_versions={"shop-1": 0})


def test_repeat_was_written_since(current: Client, late: Client) -> None:
    first = current.write_batch(MESSAGE)
    current.connection.commit()

    with late.refused(SERIALIZATION_FAILURE):
        late.write_batch(MESSAGE)

    late.connection.rollback()
    assert late.write_batch(MESSAGE) == first


def test_id_was_taken_since_by_another_stream(current: Client, late: Client) -> None:
    current.write_batch(MESSAGE | {"stream_name": "shop-1"})
    current.connection.commit()

    with late.refused(SERIALIZATION_FAILURE):
        late.write_batch(MESSAGE)

    late.connection.rollback()
    with late.refused("duplicate_message_id"):
        late.write_batch(MESSAGE)


def test_another_stream_has_moved(current: Client, late: Client) -> None:
    current.write("account-2")
    current.connection.commit()

    assert [position for position, _ in late.write_batch("account-1", "account-3")] == [0, 0]


def test_repeat_that_the_snapshot_sees(open_any_client: OpenClient) -> None:
    client = open_any_client("REPEATABLE READ")
    first = client.write_batch(MESSAGE)
    client.connection.commit()

    assert client.write_batch(MESSAGE, expected_versions={"account-1": -1}) == first


@pytest.mark.parametrize("names", [[], ["account-1"]], ids=["no message", "message"])
def test_right_version_in_the_snapshot_of_a_stream_that_is_only_read(
    current: Client, late: Client, names: list[str]
) -> None:
    current.write("shop-1")
    current.connection.commit()

    with late.refused(SERIALIZATION_FAILURE):
        late.write_batch(*names, expected_versions={"shop-1": -1})
