"""Log records as lines of JSON."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import URL

from mdb_sqla.cli.json_log import JsonLogFormatter
from tests.cli.running import write
from tests.cli.test_host_log import failure, record
from tests.cli.test_host_over_http import MAIN

MODULE = """
import os
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker
from mdb_sqla import Consumer, Host, RetryPolicy

few = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)
billing = Consumer("billing", "order", retry_policy=few)

@billing.on("Placed")
def bill(message, unit):
    raise ValueError("no such card")

host = Host(sessionmaker(create_engine(os.environ["URL"])), billing)
"""


@pytest.fixture
def formatter() -> JsonLogFormatter:
    return JsonLogFormatter(verbose=False)


def line(formatter: JsonLogFormatter, made: logging.LogRecord) -> Any:
    text = formatter.format(made)
    assert "\n" not in text
    return json.loads(text)


def test_a_line(formatter: JsonLogFormatter) -> None:
    made = record("Consumer billing stopped", None, event="consumer.stopped", consumer="billing")
    made.created = 1_700_000_000.25

    assert line(formatter, made) == {
        "level": "ERROR",
        "logger": "mdb_sqla",
        "message": "Consumer billing stopped",
        "event": "consumer.stopped",
        "consumer": "billing",
        "time": "2023-11-14T22:13:20.250000+00:00",
    }


def test_the_traceback_is_logged_once(formatter: JsonLogFormatter) -> None:
    first, second = (
        line(formatter, record("failed", failure(), consumer="billing", attempt=number))
        for number in (1, 2)
    )

    assert (first["error_type"], first["error"]) == ("ValueError", "no such card")
    assert first["traceback"].startswith("Traceback (most recent call last):")
    assert "in bill" in first["traceback"]
    assert (second["error_type"], second["error"]) == ("ValueError", "no such card")
    assert "traceback" not in second
    assert "exc_info" not in first


def test_the_active_span(formatter: JsonLogFormatter) -> None:
    assert "trace_id" not in line(formatter, record("started", None))

    tracer = TracerProvider().get_tracer("shop")
    with tracer.start_as_current_span("process order") as span:
        found = line(formatter, record("started", None))
    context = span.get_span_context()
    assert int(found["trace_id"], 16) == context.trace_id
    assert int(found["span_id"], 16) == context.span_id
    assert (len(found["trace_id"]), len(found["span_id"])) == (32, 16)


def test_values_of_any_kind(formatter: JsonLogFormatter) -> None:
    made = record("read", None, text="naïve \ud800 \n", path=Path("/x"), values={1}, kind=int)

    assert line(formatter, made)["text"] == "naïve \ud800 \n"
    assert line(formatter, made)["path"] == "/x"


class Unprintable:
    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


CYCLE: list[object] = []
CYCLE.append(CYCLE)
DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([float("inf")], "[inf]"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (CYCLE, "[[...]]"),
        (Unprintable(), "__could_not_encode__"),
        (DEEP, "__could_not_encode__"),
    ],
    ids=["nan", "infinity", "nested", "key", "cycle", "unprintable", "deep"],
)
def test_a_value_that_is_no_json(formatter: JsonLogFormatter, value: object, text: str) -> None:
    """The line is there, with the other fields as they are, and is JSON for any parser."""
    made = record("read", None, event="consumer.started", value=value, position=7, rate=1.5)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found = json.loads(formatter.format(made), parse_constant=refuse)
    assert (found["event"], found["position"], found["rate"]) == ("consumer.started", 7, 1.5)
    assert found["value"] == text


def test_an_error_without_a_text(formatter: JsonLogFormatter) -> None:
    class Broken(Exception):
        __str__ = __repr__ = Unprintable.__str__

    found = line(formatter, record("failed", Broken(), consumer="billing"))
    assert found["error"] == "__could_not_encode__"
    assert found["error_type"].endswith("Broken")


def test_a_record_is_left_as_it_is_for_other_handlers(formatter: JsonLogFormatter) -> None:
    made = record("failed", failure(), consumer="billing")

    formatter.format(made)

    assert made.exc_info is not None
    assert not hasattr(made, "error_type")


def start(folder: Path, database: URL, *arguments: str) -> Any:
    (folder / "shop.py").write_text(MODULE, encoding="utf-8")
    url = database.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-c", MAIN, "host", "shop:host", *arguments],
        cwd=folder,
        env={**os.environ, "URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_host(tmp_path: Path, database: URL) -> None:
    """Each line that it prints is a record, also where a consumer fails."""
    write(database, ("order-1", "Placed"))

    done = start(tmp_path, database, "--log-format", "json")

    assert (done.returncode, done.stdout) == (1, "")
    lines = [json.loads(each) for each in done.stderr.splitlines()]
    assert [each["event"] for each in lines] == [
        "host.started",
        "consumer.started",
        "consumer.attempt_failed",
        "consumer.attempt_failed",
        "consumer.failed",
        "host.stopped",
    ]
    failed = lines[2]
    assert "in bill" in failed.pop("traceback")
    del failed["time"]
    assert failed == {
        "level": "WARNING",
        "logger": "mdb_sqla.consumer",
        "message": "Consumer billing could not handle message 1 of type Placed (attempt 1 of 2)",
        "event": "consumer.attempt_failed",
        "consumer": "billing",
        "slot": 0,
        "category": "order",
        "type": "Placed",
        "position": 1,
        "attempt": 1,
        "max_attempts": 2,
        "error_type": "ValueError",
        "error": "no such card",
    }
    assert lines[1]["position"] == 0
    assert (lines[4]["level"], lines[4]["error"]) == ("ERROR", "no such card")
