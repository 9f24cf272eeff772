"""Writes scan a few rows for each message, however large the table and its streams are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.plans.conftest import NUMBER

if TYPE_CHECKING:
    from tests.contract.client import Client
    from tests.contract.plans.conftest import Scanned

Measure = Callable[["Client", Callable[[], object]], "Scanned"]

FEW_ROWS = 10
FEW_BLOCKS = 60


@pytest.fixture
def streams(number: Iterator[int] = count(1)) -> list[str]:  # noqa: B008 (one for all tests)
    """Three streams, one of them new, in which no other test has left rows that are gone."""
    return [f"main-{next(number)}", f"gone-{next(number)}", f"none-{next(number)}"]


@pytest.mark.parametrize("granularity", ["category", "stream"])
def test_write_message(
    large_client: Client, scanned: Measure, streams: list[str], granularity: str
) -> None:
    large_client.call("set_lock_granularity", granularity)
    for stream_name in streams * 4:
        version = large_client.call("stream_version", stream_name)
        for expected_version in (None, 0 if version is None else version + 1):
            write = partial(large_client.write, stream_name, expected_version=expected_version)
            seen = scanned(large_client, write)

            assert seen.rows <= FEW_ROWS
            assert seen.blocks <= FEW_BLOCKS


def known(number: int) -> dict[str, Any]:
    """A message of the table, as it is."""
    return {
        "id": f"{number:032x}",
        "stream_name": f"late-{number % 997}",
        "type": "Usual" if number % 50 else "Rare",
        "data": {"some": "data"},
        "metadata": {"correlationStreamName": "often-1" if number % 20 != 1 else "seldom-1"},
    }


@pytest.mark.parametrize("size", [1, 100, 1_000])
@pytest.mark.parametrize("repeats", ["none", "one", "all"])
def test_write_messages(
    large_client: Client, scanned: Measure, streams: list[str], size: int, repeats: str
) -> None:
    first = NUMBER * 8 // 10
    numbers = [number for number in range(first, first + size + 1) if number % 10007][:size]
    new = [streams[number % 3] for number in range(size)]
    batches: dict[str, list[Any]] = {
        "none": new,
        "one": [*new[1:], known(first)],
        "all": [known(number) for number in numbers],
    }
    for _ in range(7):
        write = partial(large_client.write_batch, *batches[repeats])
        seen = scanned(large_client, write)

        # A batch with a repeat in it is tried as a whole first.
        assert seen.rows <= 6 * size + FEW_ROWS
        assert seen.blocks <= 40 * size + FEW_BLOCKS


def test_prepare_copy(large_client: Client, scanned: Measure, streams: list[str]) -> None:
    for _ in range(7):
        seen = scanned(large_client, partial(large_client.read, "prepare_copy", streams, 1_000))

        assert seen.rows <= FEW_ROWS
        assert seen.blocks <= FEW_BLOCKS
