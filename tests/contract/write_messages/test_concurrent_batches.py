from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Blocked, OpenClient

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"
MESSAGE: dict[str, Any] = {"id": ID, "stream_name": "account-1", "type": "Opened", "data": {}}


def test_second_batch_waits_and_follows(open_any_client: OpenClient, blocked: Blocked) -> None:
    first, second = open_any_client(), open_any_client()
    first.write_batch("account-1", "account-1")

    waiting = blocked(second, lambda: second.write_batch("account-1", "account-1"))
    first.connection.commit()

    assert [position for position, _ in waiting.result()] == [2, 3]


def test_same_batch_at_once_is_written_once(open_any_client: OpenClient, blocked: Blocked) -> None:
    first, second = open_any_client(), open_any_client()
    written = first.write_batch(MESSAGE, expected_versions={"account-1": -1})

    waiting = blocked(
        second, lambda: second.write_batch(MESSAGE, expected_versions={"account-1": -1})
    )
    first.connection.commit()

    assert waiting.result() == written


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_same_id_at_once_in_another_category(
    open_any_client: OpenClient, blocked: Blocked, end: str
) -> None:
    first, second = open_any_client(), open_any_client()
    first.write_batch(MESSAGE | {"stream_name": "shop-1"})

    def write() -> Any:
        if end == "rollback":
            return [position for position, _ in second.write_batch(MESSAGE)]
        with second.refused("duplicate_message_id"):
            second.write_batch("account-1", MESSAGE)
        return "refused"

    waiting = blocked(second, write)
    getattr(first.connection, end)()

    assert waiting.result() == ([0] if end == "rollback" else "refused")


def test_repeat_that_was_written_while_the_batch_was_on_its_way(
    open_any_client: OpenClient, blocked: Blocked
) -> None:
    # By a client that holds none of the batch's locks, so that it is met only at the insert.
    first, second = open_any_client(), open_any_client()
    first.execute(
        "INSERT INTO message_store.messages (id, stream_name, position, type, data) "
        "VALUES (:id, 'account-1', 0, 'Opened', '{}')",
        id=ID,
    )

    waiting = blocked(second, lambda: second.write_batch("account-2", MESSAGE))
    first.connection.commit()

    assert [position for position, _ in waiting.result()] == [0, 0]
    assert second.message_count() == 2
