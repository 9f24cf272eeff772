from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.contract.conftest import Client, OpenClient


def _attempt(client: Client, stream_name: str, expected_version: int | None = None) -> int | str:
    try:
        position: int = client.write(stream_name, expected_version=expected_version)
    except DBAPIError as error:
        client.connection.rollback()
        return str(getattr(error.orig, "sqlstate", None))
    client.connection.commit()
    return position


@pytest.fixture
def attempt() -> Callable[..., int | str]:
    """Write and commit; the result is the position, or the SQLSTATE where it fails."""
    return _attempt


@pytest.fixture
def blocked_attempt(open_committing_client: OpenClient) -> Iterator[Callable[..., Future[Any]]]:
    """Start an attempt in the background; go on once it waits for another client."""
    observer = open_committing_client()

    with ThreadPoolExecutor() as executor:

        def start(client: Client, *arguments: Any, **named: Any) -> Future[int | str]:
            pid = client.value("SELECT pg_backend_pid()")
            client.connection.rollback()
            future = executor.submit(_attempt, client, *arguments, **named)
            deadline = time.monotonic() + 10
            while not observer.value("SELECT cardinality(pg_blocking_pids(:pid))", pid=pid):
                assert not future.done(), f"it did not wait: {future.result()}"
                assert time.monotonic() < deadline
                time.sleep(0.005)
            return future

        yield start
