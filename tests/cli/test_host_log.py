from __future__ import annotations

import logging
from typing import Any

import pytest

from mdb_sqla import HandlerFailed, Message, StoreNotInstalled
from mdb_sqla.cli.host_log import HostLogFormatter

OWN = 'in bill\n    raise ValueError("no such card")'


def bill() -> object:
    raise ValueError("no such card")


def failure() -> Exception:
    try:
        bill()
    except ValueError as error:
        return error
    raise AssertionError


def record(message: str, error: BaseException | None, **fields: Any) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("mdb_sqla", logging.ERROR, "f", 1, message, (), exc_info)
    made.__dict__.update(fields)
    return made


@pytest.fixture
def formatter() -> HostLogFormatter:
    return HostLogFormatter(verbose=False)


def test_a_traceback_is_logged_once(formatter: HostLogFormatter) -> None:
    attempts = [
        formatter.format(record(f"attempt {number}", failure(), consumer="billing", attempt=number))
        for number in (1, 2, 3)
    ]
    final = HandlerFailed("billing", StoredLike(), 3)
    final.__cause__ = failure()
    last = formatter.format(record("Consumer billing failed", final, consumer="billing"))

    assert OWN in attempts[0]
    for text in (*attempts[1:], last):
        assert "Traceback" not in text
        assert text.endswith(": ValueError: no such card")
        assert "\n" not in text


def test_a_refusal_of_the_consumers_own_statement_is_one_line(formatter: HostLogFormatter) -> None:
    refused = StoreNotInstalled("The store is not installed")
    refused.__cause__ = ValueError("INSERT INTO consumers")  # no frame is the application's

    assert formatter.format(record("Consumer billing failed", refused)).endswith(
        "ERROR Consumer billing failed: mdb_sqla.errors.StoreNotInstalled: "
        "The store is not installed"
    )
    whole = HostLogFormatter(verbose=True).format(record("Consumer billing failed", refused))
    assert "INSERT INTO consumers" in whole


def test_a_refusal_in_a_handler_shows_where(formatter: HostLogFormatter) -> None:
    with pytest.raises(StoreNotInstalled) as error:
        raise StoreNotInstalled("The store is not installed")

    assert "test_a_refusal_in_a_handler" in formatter.format(record("attempt 1", error.value))


class StoredLike(Message):
    """A message with the attributes that an error shows."""

    global_position = 4711
    stream_name = "order-1"

    def __init__(self) -> None:
        super().__init__("Placed")


def test_the_next_message_has_its_own(formatter: HostLogFormatter) -> None:
    texts = [
        formatter.format(record("failed", failure(), consumer=consumer, attempt=1))
        for consumer in ("billing", "billing", "shipping")
    ]

    assert all(OWN in text for text in texts)


def test_another_error_of_the_same_message(formatter: HostLogFormatter) -> None:
    first, second = failure(), failure()
    second.args = ("another card",)

    formatter.format(record("failed", first, consumer="billing", attempt=1))
    text = formatter.format(record("failed", second, consumer="billing", attempt=2))

    assert "Traceback" in text
    assert "ValueError: another card" in text


def test_only_own_frames_unless_all_are_wanted() -> None:
    import json

    try:
        json.loads("{")
    except ValueError as error:
        wrong = error
    short = HostLogFormatter(verbose=False).format(record("failed", wrong))
    whole = HostLogFormatter(verbose=True).format(record("failed", wrong))

    assert "decoder.py" not in short
    assert "library frames left out)" in short
    assert "decoder.py" in whole
    assert "left out" not in whole


def test_a_record_is_left_as_it_is_for_other_handlers(formatter: HostLogFormatter) -> None:
    made = record("failed", failure(), consumer="billing", attempt=1)

    formatter.format(made)

    assert made.exc_text is None
    assert made.exc_info is not None
    assert formatter.format(record("started", None)).endswith("ERROR started")
