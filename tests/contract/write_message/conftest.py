from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

from tests.contract.client import kind_of

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.conftest import Blocked


def _attempt(client: Client, stream_name: str, expected_version: int | None = None) -> int | str:
    try:
        position: int = client.write(stream_name, expected_version=expected_version)
    except DBAPIError as error:
        client.connection.rollback()
        return kind_of(error)
    client.connection.commit()
    return position


@pytest.fixture
def attempt() -> Callable[..., int | str]:
    """Write and commit; the result is the position, or the SQLSTATE where it fails."""
    return _attempt


@pytest.fixture
def blocked_attempt(blocked: Blocked) -> Callable[..., Future[Any]]:
    """Start an attempt in the background; go on once it waits for another client."""

    def start(client: Client, *arguments: Any, **named: Any) -> Future[int | str]:
        return blocked(client, lambda: _attempt(client, *arguments, **named))

    return start
