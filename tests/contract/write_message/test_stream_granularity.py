"""Where streams are locked, writers of one category don't wait for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

LOCK_NOT_AVAILABLE = "55P03"
WRONG_EXPECTED_VERSION = "wrong_expected_version"
SERIALIZATION_FAILURE = "40001"


@pytest.fixture
def writer(open_stream_client: OpenClient) -> Client:
    return open_stream_client()


@pytest.fixture
def other(open_stream_client: OpenClient) -> Client:
    """A client that does not wait."""
    other = open_stream_client()
    other.set_local("lock_timeout", "20ms")
    return other


@pytest.mark.parametrize("expected_version", [None, -1])
def test_streams_of_one_category_are_written_at_once(
    writer: Client, other: Client, expected_version: int | None
) -> None:
    assert writer.write("account-1", expected_version=expected_version) == 0
    assert other.write("account-2", expected_version=expected_version) == 0
    assert writer.write("account-3") == 0

    other.connection.commit()
    writer.connection.commit()

    messages = other.read("get_category_messages", "account")
    assert [message.stream_name for message in messages] == ["account-1", "account-2", "account-3"]


@pytest.mark.parametrize("stream_name", ["account-1", "account"])
def test_stream_has_one_writer_at_a_time(writer: Client, other: Client, stream_name: str) -> None:
    writer.write(stream_name)

    with other.refused(LOCK_NOT_AVAILABLE):
        other.write(stream_name)


def test_stream_whose_name_is_its_category_is_a_stream(writer: Client, other: Client) -> None:
    writer.write("account")

    assert other.write("account-1") == 0
    assert other.category_lock("account") == "ShareLock"


@pytest.mark.parametrize("expected_version", [-1, None])
def test_second_writer_of_a_stream_sees_what_the_first_wrote(
    writer: Client,
    open_stream_client: OpenClient,
    blocked_attempt: Callable[..., Future[int | str]],
    expected_version: int | None,
) -> None:
    writer.write("account-1", expected_version=expected_version)
    waiting = blocked_attempt(open_stream_client(), "account-1", expected_version)

    writer.connection.commit()

    assert waiting.result() == (WRONG_EXPECTED_VERSION if expected_version == -1 else 1)


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("expected_version", [None, -1, 0])
def test_snapshot_grows_old_while_the_write_waits(
    writer: Client,
    open_stream_client: OpenClient,
    blocked_attempt: Callable[..., Future[int | str]],
    isolation_level: str,
    expected_version: int | None,
) -> None:
    writer.write("account-1")
    waiting = blocked_attempt(open_stream_client(isolation_level), "account-1", expected_version)

    writer.connection.commit()

    assert waiting.result() == SERIALIZATION_FAILURE


def test_lock_of_the_category_keeps_every_writer_out(writer: Client, other: Client) -> None:
    writer.call("acquire_lock", "account-1")

    for stream_name in ("account-1", "account-2", "account"):
        with other.refused(LOCK_NOT_AVAILABLE):
            other.write(stream_name)
    assert other.write("shop-1") == 0


def test_lock_of_the_category_waits_for_every_writer(writer: Client, other: Client) -> None:
    writer.write("account-1")

    with other.refused(LOCK_NOT_AVAILABLE):
        other.call("acquire_lock", "account-2")


def test_client_that_has_the_lock_of_the_category_writes(writer: Client) -> None:
    writer.call("acquire_lock", "account-1")

    assert [writer.write(name) for name in ("account-1", "account-2", "account-1")] == [0, 0, 1]
