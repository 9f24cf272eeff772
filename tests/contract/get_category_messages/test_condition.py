from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.contract.client import Client

CONDITIONS = [
    ("true", [0, 1, 2, 3]),
    ("false", []),
    ("position = 1 OR position = 3", [1, 3]),
    ("messages.position < 2", [0, 1]),
    ("type LIKE 'With%'", [2]),
    ("data ->> 'amount' = '11'", [1, 2]),
    ("(data ->> 'amount')::numeric > 11 AND metadata IS NULL", [3]),
]


@pytest.fixture
def account(client: Client) -> None:
    client.set_local("message_store.sql_condition", "on")
    client.write("account-1", type="Opened")
    client.write("account-1", type="Deposited", data='{"amount": 11}')
    client.write("account-1", type="Withdrawn", data='{"amount": 11}')
    client.write("account-1", type="Deposited", data='{"amount": 12}')
    client.write("shop-1", type="Opened")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(("condition", "positions"), CONDITIONS)
def test_condition_is_an_expression_over_messages(
    client: Client, condition: str, positions: list[int]
) -> None:
    messages = client.read("get_category_messages", "account", condition=condition)

    assert [message.position for message in messages] == positions


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("condition", ["true OR true", "false OR true"])
def test_condition_is_put_in_parentheses(client: Client, condition: str) -> None:
    messages = client.read("get_category_messages", "account", condition=condition)

    assert {message.stream_name for message in messages} == {"account-1"}


@pytest.mark.usefixtures("account")
def test_batch_size_counts_what_the_condition_keeps(client: Client) -> None:
    messages = client.read("get_category_messages", "account", 1, 2, condition="position > 0")

    assert [message.position for message in messages] == [1, 2]


def test_condition_that_is_not_activated_is_refused(client: Client) -> None:
    with client.refused("condition_not_activated", "Retrieval with SQL condition is not activated"):
        client.read("get_category_messages", "account", condition="true")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("function", ["get_category_messages", "get_messages"])
def test_a_condition_is_refused_before_a_negative_batch_size(client: Client, function: str) -> None:
    category: Any = "account" if function == "get_category_messages" else ["account"]

    with pytest.raises(DBAPIError, match="no_such_column"):
        client.read(function, category, batch_size=-2, condition="no_such_column = 1")
