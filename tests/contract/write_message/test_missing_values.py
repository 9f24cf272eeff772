from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

NOT_NULL_VIOLATION = "23502"


@pytest.mark.parametrize("argument", ["id", "stream_name", "type"])
def test_null_is_refused(client: Client, argument: str) -> None:
    refusal = (
        f'null value in column "{argument}" of relation "messages" violates not-null constraint'
    )

    with client.refused(NOT_NULL_VIOLATION, refusal):
        client.write(**{argument: None})


@pytest.mark.parametrize("argument", ["data", "metadata", "expected_version"])
def test_null_is_accepted(client: Client, argument: str) -> None:
    assert client.write("account-1", **{argument: None}) == 0
