from __future__ import annotations

import pytest
from sqlalchemy import URL, create_engine

from mdb_sqla import InvalidArgument
from mdb_sqla.admin.reports import report
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb

# The order of none of the reports.
MESSAGES = [
    ("shop-1", "Sold"),
    ("account-2", "Opened"),
    ("account-1", "Opened"),
    ("account-2", "Opened"),
    ("account-2", "Deposited"),
    ("shop-1", "Opened"),
]

# As the tools of the original sort them.
REPORTS = {
    "stream": [["account-2", 3], ["shop-1", 2], ["account-1", 1]],
    "type": [["Opened", 4], ["Deposited", 1], ["Sold", 1]],
    "stream-type": [
        ["account-1", "Opened", 1],
        ["account-2", "Opened", 2],
        ["account-2", "Deposited", 1],
        ["shop-1", "Opened", 1],
        ["shop-1", "Sold", 1],
    ],
    "type-stream": [
        ["Deposited", "account-2", 1],
        ["Opened", "account-2", 2],
        ["Opened", "account-1", 1],
        ["Opened", "shop-1", 1],
        ["Sold", "shop-1", 1],
    ],
    "category-type": [
        ["account", "Deposited", 1],
        ["account", "Opened", 3],
        ["shop", "Opened", 1],
        ["shop", "Sold", 1],
    ],
    "type-category": [
        ["Deposited", "account", 1],
        ["Opened", "account", 3],
        ["Opened", "shop", 1],
        ["Sold", "shop", 1],
    ],
}


@pytest.mark.parametrize("name", REPORTS)
def test_rows_and_their_order(database: URL, name: str) -> None:
    write(database, *MESSAGES)

    printed = told("report", name, url=database)

    grouped = name.split("-")
    assert [
        [*(row[each] for each in grouped), row["message_count"]] for row in printed["rows"]
    ] == REPORTS[name]
    assert printed["message_count"] == len(MESSAGES)
    assert all(
        row["percent"] == round(row["message_count"] / 6 * 100, 2) for row in printed["rows"]
    )


@pytest.mark.parametrize(
    ("name", "what", "part", "number"),
    [
        ("stream", "stream", "ount-", 4),
        ("type", "type", "pos", 1),
        ("stream-type", "stream", "p-1", 2),
        ("type-stream", "type", "Sol", 1),
        ("category-type", "category", "sh", 2),
        ("type-category", "type", "Open", 4),
        ("type-category", "category", "shop", 2),
        ("stream", "stream", "%", 0),
        ("stream", "stream", "a_count", 0),
    ],
)
def test_a_filter_is_a_part_of_the_name(
    database: URL, name: str, what: str, part: str, number: int
) -> None:
    write(database, *MESSAGES)

    printed = told("report", name, f"--{what}", part, url=database)

    assert printed["message_count"] == number
    assert all(part in row[what] for row in printed["rows"])


def test_what_people_read(database: URL) -> None:
    write(database, ("account-[red]", "Opened"), ("account-:car:", "Opened"))

    lines = mdb("report", "stream", url=database).stdout.splitlines()

    assert [line.split() for line in lines] == [
        ["stream", "messages", "percent"],
        ["account-:car:", "1", "50.00"],
        ["account-[red]", "1", "50.00"],
        [],
        ["2", "messages"],
    ]


@pytest.mark.parametrize("command", ["report", "summary", "consumers", "verify", "benchmark"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: mdb {command}" in mdb(command, "--help").stdout


def test_an_empty_store(database: URL) -> None:
    assert told("report", "type", url=database) == {
        "report": "type",
        "rows": [],
        "message_count": 0,
    }


def test_what_there_is_no_report_or_filter_for(database: URL) -> None:
    refused = mdb("report", "streams", url=database, code=2).stderr
    assert "must be one of 'stream', 'type'," in refused
    assert "'streams'" in refused
    refused = mdb("report", "type", "--stream", "a-1", url=database, code=2).stderr
    assert "Report 'type' can't be filtered by stream, got stream='a-1'" in refused


def test_no_store(empty_database: URL) -> None:
    assert "not installed" in mdb("report", "type", url=empty_database, code=1).stderr


def test_from_python(database: URL) -> None:
    write(database, *MESSAGES)
    engine = create_engine(database)
    with engine.connect() as connection:
        (row,) = report(connection, "type", type="Sold")
        with pytest.raises(InvalidArgument):
            report(connection, "nothing")
    engine.dispose()

    assert (row.names, row.message_count, str(row.percent)) == (("Sold",), 1, "16.67")
