"""What reads compare each entry of the index with: scanning costs that, for every entry.

A comparison of rows takes twice the time of an equality. The plans are those that the functions'
own statements are executed with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from mdb_sqla.consumers.consumer_lag import lag
from tests.contract.plans.conftest import NUMBER
from tests.contract.plans.test_reads import FILTERS

if TYPE_CHECKING:
    from tests.contract.client import Client

READS = [("get_category_messages", "late"), ("get_messages", ["late", "main"])]

SETTINGS = {
    "log_min_duration": "0",
    "log_nested_statements": "on",
    "log_level": "notice",
    "log_format": "json",
    "log_analyze": "on",
}


@pytest.fixture
def plans(large_client: Client) -> list[Any]:
    """The plans of all statements that the client has executed so far, nested ones too."""
    plans: list[Any] = []
    driver_connection = large_client.connection.connection.driver_connection
    assert isinstance(driver_connection, psycopg.Connection)

    def note(notice: psycopg.errors.Diagnostic) -> None:
        _, _, plan = (notice.message_primary or "").partition("plan:\n")
        plans.append(json.loads(plan)["Plan"])

    large_client.execute("LOAD 'auto_explain'")
    for name, value in SETTINGS.items():
        large_client.set_local(f"auto_explain.{name}", value)
    driver_connection.add_notice_handler(note)
    return plans


def scans_of_messages(plans: list[Any]) -> Iterator[dict[str, Any]]:
    for plan in plans:
        if plan.get("Relation Name") == "messages":
            yield plan
        yield from scans_of_messages(plan.get("Plans", []))


def assert_compared_by_equality(scan: dict[str, Any]) -> None:
    assert scan["Index Name"] == "messages_category"
    assert re.search(r"split_part\(.*stream_name.*\) =", scan["Index Cond"])
    assert "global_position >" in scan["Index Cond"]
    assert "ROW" not in scan["Index Cond"]


@pytest.mark.parametrize("granularity", ["category", "stream"])
@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize(("function", "name"), READS)
def test_reads(
    large_client: Client,
    plans: list[Any],
    function: str,
    name: str | list[str],
    filter_: str,
    granularity: str,
) -> None:
    arguments, _ = FILTERS[filter_]
    large_client.call("set_lock_granularity", granularity)
    for position in (NUMBER // 4, NUMBER - 500):
        plans.clear()
        large_client.read(function, name, position, 10, **arguments)

        scans = list(scans_of_messages(plans))
        if function == "get_messages" or "condition" not in arguments:
            # The first one looks whether there is anything.
            look = scans.pop(0)
            assert_compared_by_equality(look)
            assert look["Actual Rows"] == 1
        assert scans
        for scan in scans:
            assert_compared_by_equality(scan)
            # In the index: no row is looked at that the correlation rules out.
            assert ("correlationStreamName" in scan["Index Cond"]) == ("correlation" in arguments)
            assert "correlationStreamName" not in scan.get("Filter", "")
            # What the correlation has found is compared with the bound, and not each entry.
            if function == "get_category_messages" and "correlation" in arguments:
                assert "global_position <" not in scan["Index Cond"]


@pytest.mark.parametrize("filter_", FILTERS)
@pytest.mark.parametrize(("function", "name"), READS)
def test_where_nothing_is(
    large_client: Client, plans: list[Any], function: str, name: str | list[str], filter_: str
) -> None:
    arguments, _ = FILTERS[filter_]
    for granularity in ("category", "stream"):
        large_client.call("set_lock_granularity", granularity)
        plans.clear()

        assert large_client.read(function, name, NUMBER + 1, 10, **arguments) == []

        (look,) = scans_of_messages(plans)
        assert_compared_by_equality(look)
        # To look up the locks costs four times as much as all else.
        assert "pg_lock_status" not in json.dumps(plans)


def test_lag(large_client: Client, plans: list[Any]) -> None:
    lag(large_client.connection, "billing", "late", start=NUMBER - 500)

    (scan,) = scans_of_messages(plans)
    assert_compared_by_equality(scan)
