from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client


@pytest.mark.parametrize("function", ["category", "id", "cardinal_id", "is_category", "hash_64"])
def test_no_function_is_called_for_a_row(client: Client, function: str) -> None:
    plan = client.execute(
        "EXPLAIN (VERBOSE, COSTS OFF) "
        f"SELECT message_store.{function}(stream_name) FROM message_store.messages"
    )

    (output,) = [line for line in plan.scalars() if "Output:" in line]

    assert "message_store." not in output


@pytest.mark.parametrize("function", ["category", "id", "cardinal_id", "is_category", "hash_64"])
def test_function_is_immutable_and_may_run_in_parallel(client: Client, function: str) -> None:
    kind = client.execute(
        "SELECT provolatile, proparallel FROM pg_proc WHERE oid = CAST(:function AS regprocedure)",
        function=f"message_store.{function}(varchar)",
    )

    assert kind.one() == ("i", "s")
