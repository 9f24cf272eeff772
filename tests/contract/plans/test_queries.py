"""Queries read what they need, whatever the statistics are.

Near the end, that is what lies between in their categories; otherwise, what has the tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL, NullPool, create_engine, text

from tests.contract.client import Client
from tests.contract.plans.conftest import NUMBER

if TYPE_CHECKING:
    from tests.conftest import Databases
    from tests.contract.plans.conftest import Scanned

Measure = Callable[["Client", Callable[[], object]], "Scanned"]

FEW = 120
TAGGED = 5
RARE = {"tags": ["course:rare"]}
# Messages with the tag are this far apart.
_TAG = f"""
    UPDATE message_store.messages
    SET metadata = jsonb_build_object('tags', jsonb_build_array(
        'course:usual', CASE WHEN global_position % {NUMBER // 10} = 7 THEN 'course:rare' END
    ))
    WHERE message_store.category(stream_name) = ANY ('{{main,late}}')
        AND (global_position % 40 = 7)
"""
# All messages have tags, and each of the first tenth a category of its own.
_TAG_ALL = f"""
    UPDATE message_store.messages
    SET
        stream_name = CASE
            WHEN message_store.category(stream_name) = 'gone' THEN 'gone' || global_position || '-1'
            ELSE stream_name
        END,
        metadata = jsonb_build_object('tags', jsonb_build_array(
            'course:usual', CASE WHEN global_position % {NUMBER // 10} = 7 THEN 'course:rare' END
        ))
"""


def _tagged(databases: Databases, template: URL, analyze: bool) -> Iterator[URL]:
    with databases.create(template) as url:
        with create_engine(url, poolclass=NullPool).begin() as connection:
            connection.execute(text(_TAG))
            if analyze:
                connection.execute(text("ANALYZE message_store.messages"))
        yield url


@pytest.fixture(scope="module")
def tagged(databases: Databases, large_database: URL) -> Iterator[URL]:
    yield from _tagged(databases, large_database, analyze=False)


@pytest.fixture(scope="module")
def tagged_and_analyzed(databases: Databases, large_database: URL) -> Iterator[URL]:
    yield from _tagged(databases, large_database, analyze=True)


@pytest.fixture(scope="module")
def tagged_and_analyzed_early(databases: Databases, early_analyzed_database: URL) -> Iterator[URL]:
    yield from _tagged(databases, early_analyzed_database, analyze=False)


@pytest.fixture(scope="module")
def all_tagged(databases: Databases, large_database: URL) -> Iterator[URL]:
    """A store whose statistics favor every index except that of the tags."""
    with databases.create(large_database) as url:
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(_TAG_ALL))
            connection.execute(text("VACUUM (ANALYZE) message_store.messages"))
        yield url


@pytest.fixture(params=["tagged", "tagged_and_analyzed", "tagged_and_analyzed_early", "all_tagged"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client that has read often enough to keep its plans."""
    url = request.getfixturevalue(request.param)
    with create_engine(url, poolclass=NullPool).connect() as connection:
        client = Client(connection)
        for _ in range(8):
            matches(client, ["tiny"], 1, NUMBER, 1)
            matches(client, ["tiny"], NUMBER, NUMBER, 1, **RARE)
        yield client


def matches(
    client: Client, categories: list[str], first: int, last: int, number: int | None, **more: Any
) -> list[int]:
    query = json.dumps([{"categories": categories, **more}])
    rows = client.read("find_matches", query, first, last, number)
    return [position for (position,) in rows]


@pytest.mark.parametrize("categories", [["main"], ["late"], ["main", "late"], ["tiny", "late"]])
@pytest.mark.parametrize("number", [1, None])
def test_tags_far_back(
    client: Client, scanned: Measure, categories: list[str], number: int | None
) -> None:
    found: list[int] = []
    read = partial(matches, client, categories, 1, NUMBER, number, **RARE)

    seen = scanned(client, lambda: found.extend(read()))

    assert 0 < len(found) <= 2 * TAGGED
    assert seen.rows <= FEW
    assert seen.blocks <= FEW


@pytest.mark.parametrize("category", ["main", "late", "tiny", "none"])
@pytest.mark.parametrize("distance", [0, 1, 500, 999])
def test_near_the_end(client: Client, scanned: Measure, category: str, distance: int) -> None:
    for more in (RARE, {}, {"types": ["Rare"]}, {"tags": ["course:usual"]}):
        read = partial(matches, client, [category], NUMBER - distance, NUMBER, None, **more)

        seen = scanned(client, read)

        assert seen.rows <= distance + FEW
        assert seen.blocks <= distance + FEW


def test_a_category_without_tags_is_scanned_in_its_order(client: Client, scanned: Measure) -> None:
    for number in (1, 100):
        read = partial(matches, client, ["late"], 1, NUMBER, number)

        seen = scanned(client, read)

        assert seen.rows <= number + FEW
        assert seen.blocks <= number + FEW


def test_messages_are_fetched_by_their_positions(client: Client, scanned: Measure) -> None:
    query = json.dumps([{"categories": ["main", "late"], **RARE}])
    for _ in range(8):
        seen = scanned(client, partial(client.read, "get_query_messages", query, 1, -1))

        assert seen.rows <= FEW
        assert seen.blocks <= FEW


def test_a_condition(client: Client, scanned: Measure) -> None:
    query = [{"categories": ["main", "late"], **RARE}]
    near = [{"categories": ["late"], "types": ["None"]}]
    far = [{"categories": ["main", "late"], "types": ["None"], **RARE}]
    for _ in range(8):
        for unless in (
            [(near, NUMBER - 100)],
            [(query, NUMBER - 10), (near, NUMBER - 100)],
            [(far, 1)],
        ):
            write = partial(client.write_conditionally, "tiny-1", unless=unless)

            seen = scanned(client, write)

            assert seen.rows <= 200 + FEW
            assert seen.blocks <= 200 + FEW
