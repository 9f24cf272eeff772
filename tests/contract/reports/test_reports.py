from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

# Six of them, in an order that is none of the reports'.
MESSAGES = [
    ("shop-2", "Sold"),
    ("account-2", "Opened"),
    ("shop-1", "Opened"),
    ("account-1", "Opened"),
    ("account-1", "Deposited"),
    ("account-2", "Deposited"),
]

REPORTS = {
    "stream_summary": [
        ("account-1", 2, "33.33"),
        ("account-2", 2, "33.33"),
        ("shop-1", 1, "16.67"),
        ("shop-2", 1, "16.67"),
    ],
    "type_summary": [
        ("Deposited", 2, "33.33"),
        ("Opened", 3, "50.00"),
        ("Sold", 1, "16.67"),
    ],
    "stream_type_summary": [
        ("account-1", "Deposited", 1, "16.67"),
        ("account-1", "Opened", 1, "16.67"),
        ("account-2", "Deposited", 1, "16.67"),
        ("account-2", "Opened", 1, "16.67"),
        ("shop-1", "Opened", 1, "16.67"),
        ("shop-2", "Sold", 1, "16.67"),
    ],
    "type_stream_summary": [
        ("Deposited", "account-1", 1, "16.67"),
        ("Deposited", "account-2", 1, "16.67"),
        ("Opened", "account-1", 1, "16.67"),
        ("Opened", "account-2", 1, "16.67"),
        ("Opened", "shop-1", 1, "16.67"),
        ("Sold", "shop-2", 1, "16.67"),
    ],
    "category_type_summary": [
        ("account", "Deposited", 2, "33.33"),
        ("account", "Opened", 2, "33.33"),
        ("shop", "Opened", 1, "16.67"),
        ("shop", "Sold", 1, "16.67"),
    ],
    "type_category_summary": [
        ("Deposited", "account", 2, "33.33"),
        ("Opened", "account", 2, "33.33"),
        ("Opened", "shop", 1, "16.67"),
        ("Sold", "shop", 1, "16.67"),
    ],
}

pytestmark = pytest.mark.parametrize("report", REPORTS)


def test_rows_and_their_order(client: Client, report: str) -> None:
    for stream_name, type_ in MESSAGES:
        client.write(stream_name, type=type_)

    rows = client.execute(f"SELECT * FROM message_store.{report}").all()

    assert [(*row[:-1], str(row.percent)) for row in rows] == REPORTS[report]


def test_columns(client: Client, report: str) -> None:
    columns = client.rows(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = CAST(:report AS regclass) AND attnum > 0 ORDER BY attnum",
        report=f"message_store.{report}",
    )

    types = {"stream_name": "text", "type": "text", "category": "character varying"}
    grouped = [
        "stream_name" if name == "stream" else name
        for name in report.removesuffix("_summary").split("_")
    ]
    assert columns == [
        *((name, types[name]) for name in grouped),
        ("message_count", "bigint"),
        ("percent", "numeric"),
    ]


def test_one_message_is_a_hundred_percent(client: Client, report: str) -> None:
    client.write("account-1")

    row = client.execute(f"SELECT * FROM message_store.{report}").one()

    assert row.message_count == 1
    assert isinstance(row.percent, Decimal)
    assert str(row.percent) == "100.00"


def test_few_of_many_round_to_nothing(client: Client, report: str) -> None:
    client.insert("shop-1", 30_000)
    client.write("account-1", type="Closed")

    few, many = sorted(
        client.execute(f"SELECT message_count, percent FROM message_store.{report}").all()
    )

    assert (few.message_count, str(few.percent)) == (1, "0.00")
    assert (many.message_count, str(many.percent)) == (30_000, "100.00")


def test_empty_store_has_no_rows(client: Client, report: str) -> None:
    assert client.execute(f"SELECT * FROM message_store.{report}").all() == []
