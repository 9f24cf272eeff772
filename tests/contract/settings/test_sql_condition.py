"""What PostgreSQL reads as true activates conditions, in whatever way it came to be set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

SETTING = "message_store.sql_condition"
READS = [
    ("get_stream_messages", "account-1"),
    ("get_category_messages", "account"),
    ("get_messages", "{account}"),
]

pytestmark = pytest.mark.parametrize(("function", "name"), READS)


@pytest.fixture
def session(open_client: OpenClient) -> Client:
    """A client in a session that knows nothing of the setting yet."""
    return open_client()


def is_activated(client: Client, function: str, name: str) -> bool:
    client.write("account-1")
    return len(client.read(function, name, condition="true")) == 1


def is_refused(client: Client, function: str, name: str) -> bool:
    with client.refused("condition_not_activated", "Retrieval with SQL condition is not activated"):
        client.read(function, name, condition="true")
    return True


@pytest.mark.parametrize("value", ["on", "ON", "true", "1", "yes", " on", "t"])
def test_true_activates(session: Client, function: str, name: str, value: str) -> None:
    session.set_local(SETTING, value)

    assert is_activated(session, function, name)


def test_on_activates_for_the_session(session: Client, function: str, name: str) -> None:
    session.execute(f"SET {SETTING} = on")
    session.connection.commit()

    assert is_activated(session, function, name)


@pytest.mark.parametrize("value", ["off", "", "OFF", "false", "0", "no"])
def test_false_does_not(session: Client, function: str, name: str, value: str) -> None:
    session.set_local(SETTING, value)

    assert is_refused(session, function, name)


@pytest.mark.parametrize("value", ["maybe", "o", "onwards", " "])
def test_what_is_neither_is_named(session: Client, function: str, name: str, value: str) -> None:
    session.set_local(SETTING, value)

    with session.refused("22023", f"Setting {SETTING} must be on or off: {value}"):
        session.read(function, name, condition="true")


def test_not_set_at_all(session: Client, function: str, name: str) -> None:
    assert session.value(f"SELECT current_setting('{SETTING}', true)") is None

    assert is_refused(session, function, name)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_after_set_local_has_ended(session: Client, function: str, name: str, end: str) -> None:
    session.execute(f"SET LOCAL {SETTING} = 'on'")
    assert len(session.read(function, name, condition="true")) == 0
    getattr(session.connection, end)()
    assert session.value(f"SELECT current_setting('{SETTING}', true)") == ""

    assert is_refused(session, function, name)


@pytest.mark.parametrize("reset", [f"RESET {SETTING}", "RESET ALL"])
def test_after_reset(session: Client, function: str, name: str, reset: str) -> None:
    session.execute(f"SET {SETTING} = 'on'")
    assert is_activated(session, function, name)
    session.execute(reset)
    assert session.value(f"SELECT current_setting('{SETTING}', true)") == ""

    assert is_refused(session, function, name)
