"""The settings of debugging tell, in NOTICEs, what a function was called with and what it ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"

ARGUMENTS: dict[str, dict[str, Any]] = {
    "acquire_lock": {"stream_name": "account-1"},
    "write_message": {
        "id": ID,
        "stream_name": "account-1",
        "type": "Opened",
        "data": '{"amount": 11}',
        "metadata": '{"schemaVersion": "1"}',
        "expected_version": -1,
    },
    "get_stream_messages": {
        "stream_name": "account-1",
        "position": 5,
        "batch_size": 7,
        "condition": "position > 2",
    },
    "get_category_messages": {
        "category": "account",
        "position": 5,
        "batch_size": 7,
        "correlation": "shop",
        "consumer_group_member": 1,
        "consumer_group_size": 3,
        "condition": "position > 2",
    },
    "get_messages": {
        "categories": "{account,shop}",
        "position": 5,
        "batch_size": 7,
        "correlation": "shop",
        "consumer_group_member": 1,
        "consumer_group_size": 3,
        "condition": "position > 2",
    },
    "get_last_stream_message": {"stream_name": "account-1", "type": "Opened"},
}
WRITES = ["acquire_lock", "write_message"]
READS = ["get_stream_messages", "get_category_messages", "get_messages", "get_last_stream_message"]


@pytest.fixture
def session(open_client: OpenClient) -> Client:
    session = open_client()
    session.set_local("message_store.sql_condition", "on")
    return session


@pytest.fixture
def notices(session: Client) -> list[str]:
    """The NOTICEs that the server has raised so far."""
    notices: list[str] = []
    driver_connection = session.connection.connection.driver_connection
    assert isinstance(driver_connection, psycopg.Connection)

    def note(notice: psycopg.errors.Diagnostic) -> None:
        assert notice.severity_nonlocalized == "NOTICE"
        notices.append(notice.message_primary or "")

    driver_connection.add_notice_handler(note)
    return notices


def values_of(notices: list[str]) -> dict[str, str]:
    """What the notices say by name: each is `name: value` or, with a number, `name ($1): value`."""
    parted = (notice.partition(": ") for notice in notices)
    return {label.partition(" ($")[0]: value for label, _, value in parted}


@pytest.mark.parametrize("value", ["on", "ON", "true", "1", "yes"])
@pytest.mark.parametrize("setting", ["debug_write", "debug"])
@pytest.mark.parametrize("function", WRITES)
def test_writes_tell_their_arguments(
    session: Client, notices: list[str], function: str, setting: str, value: str
) -> None:
    session.set_local(f"message_store.{setting}", value)

    session.call(function, **ARGUMENTS[function])

    assert f"» {function}" in notices
    expected = {name: str(value) for name, value in ARGUMENTS[function].items()}
    assert expected.items() <= values_of(notices).items()


def test_write_tells_its_arguments_when_it_is_refused(session: Client, notices: list[str]) -> None:
    session.set_local("message_store.debug_write", "on")

    with session.refused("wrong_expected_version"):
        session.write("account-1", expected_version=5)

    assert {"stream_name": "account-1", "expected_version": "5"}.items() <= (
        values_of(notices).items()
    )


@pytest.mark.parametrize("value", ["on", "ON", "true", "1", "yes"])
@pytest.mark.parametrize("setting", ["debug_get", "debug"])
@pytest.mark.parametrize("function", READS)
def test_reads_tell_their_arguments(
    session: Client, notices: list[str], function: str, setting: str, value: str
) -> None:
    session.set_local(f"message_store.{setting}", value)

    session.read(function, **ARGUMENTS[function])

    expected = {name: str(value) for name, value in ARGUMENTS[function].items()}
    assert expected.items() <= values_of(notices).items()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("get_stream_messages", {"position": "0", "batch_size": "1000", "condition": "<NULL>"}),
        (
            "get_category_messages",
            {
                "position": "1",
                "batch_size": "1000",
                "correlation": "<NULL>",
                "consumer_group_member": "<NULL>",
                "consumer_group_size": "<NULL>",
                "condition": "<NULL>",
            },
        ),
        (
            "get_messages",
            {
                "position": "1",
                "batch_size": "1000",
                "correlation": "<NULL>",
                "consumer_group_member": "<NULL>",
                "consumer_group_size": "<NULL>",
                "condition": "<NULL>",
            },
        ),
        ("get_last_stream_message", {"type": "<NULL>"}),
    ],
)
def test_reads_tell_what_stands_for_null(
    session: Client, notices: list[str], function: str, expected: dict[str, str]
) -> None:
    session.set_local("message_store.debug_get", "on")
    (name, *others) = ARGUMENTS[function]

    session.read(function, ARGUMENTS[function][name], **dict.fromkeys(others))

    assert expected.items() <= values_of(notices).items()


@pytest.mark.parametrize("has_arguments", [True, False])
@pytest.mark.parametrize("function", READS)
def test_reads_tell_the_command(
    session: Client, notices: list[str], function: str, has_arguments: bool
) -> None:
    session.set_local("message_store.debug_get", "on")
    arguments = list(ARGUMENTS[function].values())

    session.read(function, *arguments[: None if has_arguments else 1])

    command = values_of(notices)["Generated Command"]
    assert "SELECT" in command
    assert ".messages" in command
    assert "ORDER BY" in command
    if has_arguments and "condition" in ARGUMENTS[function]:
        assert "AND (position > 2)" in command


@pytest.mark.parametrize("value", ["off", "", "no", "FALSE", "0"])
@pytest.mark.parametrize("setting", ["debug", "debug_get", "debug_write"])
@pytest.mark.parametrize("function", ARGUMENTS)
def test_nothing_is_told_unless_it_is_on(
    session: Client, notices: list[str], function: str, setting: str, value: str
) -> None:
    session.set_local(f"message_store.{setting}", value)

    session.read(function, **ARGUMENTS[function])

    assert notices == []


@pytest.mark.parametrize("function", ["get_category_messages", "get_messages"])
def test_reads_tell_their_arguments_when_the_batch_size_is_refused(
    session: Client, notices: list[str], function: str
) -> None:
    session.set_local("message_store.debug_get", "on")

    with session.refused("2201W", "LIMIT must not be negative"):
        session.read(function, **ARGUMENTS[function] | {"batch_size": -2})

    assert any("batch_size ($3): -2" in notice for notice in notices)


@pytest.mark.parametrize("setting", ["debug", "debug_get", "debug_write"])
@pytest.mark.parametrize("function", ARGUMENTS)
def test_a_value_that_is_none_is_refused(session: Client, function: str, setting: str) -> None:
    session.set_local(f"message_store.{setting}", "maybe")
    if setting == ("debug_get" if function in WRITES else "debug_write"):
        session.read(function, **ARGUMENTS[function])
        return

    refusal = f"Setting message_store.{setting} must be on or off: maybe"
    with session.refused("22023", refusal):
        session.read(function, **ARGUMENTS[function])


@pytest.mark.parametrize("function", ARGUMENTS)
def test_nothing_is_told_without_a_setting(
    session: Client, notices: list[str], function: str
) -> None:
    session.read(function, **ARGUMENTS[function])

    assert notices == []


@pytest.mark.parametrize(
    ("function", "setting"),
    [(name, "debug_get") for name in WRITES] + [(name, "debug_write") for name in READS],
)
def test_nothing_is_told_with_the_setting_of_the_others(
    session: Client, notices: list[str], function: str, setting: str
) -> None:
    session.set_local(f"message_store.{setting}", "on")

    session.read(function, **ARGUMENTS[function])

    assert notices == []
