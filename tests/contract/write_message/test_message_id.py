from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import OpenClient

ID = "2f8e2a0c-94a5-4bd1-a95c-9f6cbf3d6b6e"
UNIQUE_VIOLATION = "23505"
INVALID_TEXT_REPRESENTATION = "22P02"
REPEATED = 'duplicate key value violates unique constraint "messages_id"'


@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("stream_name", ["account-1", "account-2", "shop-1"])
def test_repeated_id_is_a_unique_violation(
    open_client: OpenClient, isolation_level: str, stream_name: str
) -> None:
    client = open_client(isolation_level)
    client.write("account-1", id=ID)

    with client.refused(UNIQUE_VIOLATION, REPEATED):
        client.write(stream_name, id=ID)

    assert client.message_count() == 1


def test_unique_violation_tells_which_id(client: Client) -> None:
    client.write("account-1", id=ID)

    with pytest.raises(IntegrityError) as caught, client.connection.begin_nested():
        client.write("account-2", id=ID)

    assert isinstance(caught.value.orig, psycopg.errors.UniqueViolation)
    assert caught.value.orig.diag.constraint_name == "messages_id"
    assert caught.value.orig.diag.message_detail == f"Key (id)=({ID}) already exists."


def test_id_in_capitals_is_the_same(client: Client) -> None:
    client.write("account-1", id=ID)

    with client.refused(UNIQUE_VIOLATION):
        client.write("account-2", id=ID.upper())


@pytest.mark.parametrize("id_", ["no uuid", "", ID[:-1], ID + "0"])
def test_id_that_is_no_uuid_is_refused(client: Client, id_: str) -> None:
    refusal = f'invalid input syntax for type uuid: "{id_}"'

    with client.refused(INVALID_TEXT_REPRESENTATION, refusal):
        client.write("account-1", id=id_)


@pytest.mark.parametrize("id_", [ID, "no uuid"])
def test_refused_id_takes_no_position(client: Client, id_: str) -> None:
    client.write("account-1", id=ID)

    with client.refused("23505" if id_ == ID else "22P02"):
        client.write("account-1", id=id_)

    assert client.write("account-1") == 1
