"""A message that is written again in another trace is still the same message."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from opentelemetry.trace import Tracer
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session

from mdb_sqla import (
    AppendConditionFailed,
    DuplicateMessageId,
    Message,
    MessagePosition,
    MessageStore,
    Query,
    TransactionConflict,
    write_on_commit,
)
from mdb_sqla.store import function_writes
from tests.telemetry.spans import Spans

METADATA: list[Any] = [
    None,
    {},
    {"note": 1.5},
    {"properties": {}},
    {"properties": {"tenant": "x", "baggage": "a=1"}, "note": "y"},
]


@pytest.fixture(params=METADATA, ids=range(len(METADATA)))
def message(request: pytest.FixtureRequest) -> Message:
    return Message("Placed", {"total": 1}, request.param)


def write(engine: Engine, *pairs: tuple[str, Message], **options: Any) -> list[MessagePosition]:
    with Session(engine) as session, session.begin():
        return MessageStore(session).write_messages(pairs, **options)


def stored(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return MessageStore(connection).read_category("order")


def test_it_is_recognized(flavour: Any, spans: Spans, message: Message) -> None:
    def write_it() -> int:
        with flavour.session() as session:
            version: int = flavour.run(flavour.store(session).write("order-1", message))
            flavour.run(session.commit())
        return version

    assert [write_it(), write_it(), write_it()] == [0, 0, 0]
    assert len(spans.trace_ids()) == 3
    url = flavour.engine.url.set(drivername="postgresql+psycopg")
    assert len(stored(create_engine(url, poolclass=NullPool))) == 1


def test_it_is_recognized_if_it_was_written_without_a_trace(
    engine: Engine, message: Message, request: pytest.FixtureRequest
) -> None:
    first = write(engine, ("order-1", message))
    request.getfixturevalue("spans")
    assert write(engine, ("order-1", message)) == first
    assert stored(engine)[0].metadata == (message.metadata or {})


def test_with_psycopg2(engine: Engine, spans: Spans) -> None:
    message = Message("A", metadata={"note": 1.5})
    other = create_engine(engine.url.set(drivername="postgresql+psycopg2"))
    assert write(other, ("order-1", message)) == write(other, ("order-1", message))
    other.dispose()


def test_conditions_are_ignored(engine: Engine, spans: Spans, message: Message) -> None:
    """As for all repeats; not for messages that are new, or partly."""
    query = Query(categories=["order"])
    first = write(engine, ("order-1", message), unless=query.after(0))

    assert write(engine, ("order-1", message), unless=query.after(0)) == first
    for pairs in ([("order-1", Message("A"))], [("order-1", message), ("order-1", Message("A"))]):
        with pytest.raises(AppendConditionFailed):
            write(engine, *pairs, unless=query.after(0))
    last = first[0].global_position
    assert len(write(engine, ("order-1", Message("A")), unless=query.after(last))) == 1


def test_among_new_ones(engine: Engine, spans: Spans) -> None:
    old, new, other = Message("A"), Message("B"), Message("C")
    (first,) = write(engine, ("order-1", old))
    positions = write(engine, ("order-1", new), ("order-1", old), ("order-2", other))

    assert positions[1] == first
    assert [each.type for each in stored(engine)] == ["A", "B", "C"]
    assert all("traceparent" in each.metadata["properties"] for each in stored(engine))


def test_many(engine: Engine, spans: Spans) -> None:
    """So many that they are written with COPY, which the second time fails."""
    pairs = [(f"order-{n}", Message("A", n, {"n": n})) for n in range(250)]
    first = write(engine, *pairs)

    assert write(engine, *pairs, ("order-1", Message("B")))[:-1] == first
    assert len(stored(engine)) == 251


def test_very_long_ones(engine: Engine, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too long for one call."""
    monkeypatch.setattr(function_writes, "MAX_CALL_LENGTH", 1000)
    pairs = [("order-1", Message("A", "x" * 500)) for _ in range(5)]
    first = write(engine, *pairs)

    assert write(engine, *pairs) == first
    assert len(stored(engine)) == 5


def test_twice_in_one_commit_from_different_spans(
    engine: Engine, spans: Spans, tracer: Tracer
) -> None:
    message = Message("A")
    with Session(engine) as session:
        for name in ("one", "two"):
            with tracer.start_as_current_span(name):
                write_on_commit(session, "order-1", message)
        session.commit()

    assert len(stored(engine)) == 1


def test_its_expected_version_is_not_checked_again(engine: Engine, spans: Spans) -> None:
    message = Message("A")
    for _ in range(2):
        with Session(engine) as session:
            write_on_commit(session, "order-1", message, expected_version=-1)
            session.commit()

    assert len(stored(engine)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"data": 2},
        {"type": "B"},
        {"metadata": {"note": 2}},
        {"metadata": {"properties": {"tenant": "y"}}},
    ],
)
def test_other_content_is_refused(engine: Engine, spans: Spans, other: Any) -> None:
    same: dict[str, Any] = {"type": "A", "data": 1, "metadata": {"note": 1}, "id": uuid4()}
    write(engine, ("order-1", Message(**same)))
    with pytest.raises(DuplicateMessageId):
        write(engine, ("order-1", Message(**{**same, **other})))


def test_other_content_in_one_call_is_refused(engine: Engine, spans: Spans) -> None:
    id_ = uuid4()
    with pytest.raises(DuplicateMessageId):
        write(engine, ("order-1", Message("A", 1, id=id_)), ("order-1", Message("A", 2, id=id_)))


def test_without_idempotence_a_repeat_is_refused(engine: Engine, spans: Spans) -> None:
    message = Message("A")
    write(engine, ("order-1", message))
    with pytest.raises(DuplicateMessageId):
        write(engine, ("order-1", message), idempotent=False)


def test_written_concurrently(engine: Engine, spans: Spans) -> None:
    """The second writer has seen no message, then waits for the first one, and has to retry."""
    message = Message("A")
    outcomes: list[object] = []

    def write_it() -> None:
        try:
            outcomes.append(write(engine, ("order-1", message)))
        except TransactionConflict as conflict:
            outcomes.append(conflict)

    with Session(engine) as session:
        MessageStore(session).write("order-1", message)
        second = threading.Thread(target=write_it)
        second.start()
        _wait_for_a_lock(engine)
        session.commit()
    second.join(20)

    (conflict,) = outcomes
    assert isinstance(conflict, TransactionConflict)
    assert conflict.sqlstate == "40001"
    assert write(engine, ("order-1", message)) == [MessagePosition(0, 1)]


def _wait_for_a_lock(engine: Engine) -> None:
    from tests.waiting import wait_until

    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def is_waiting() -> bool:
        with engine.connect() as connection:
            return bool(connection.scalar(waiting) == 1)

    wait_until(is_waiting)


def test_looking_for_it_never_scans_the_table(engine: Engine, spans: Spans) -> None:
    scans = text(
        "SELECT seq_scan FROM pg_catalog.pg_stat_xact_user_tables "
        "WHERE relname = 'messages' AND schemaname = 'message_store'"
    )
    with engine.connect() as connection:
        # Enough calls for a prepared statement whose plan is kept: the plan for an empty table.
        for number in range(20):
            with connection.begin():
                MessageStore(connection).write(f"order-{number}", Message("Placed"))
                assert connection.scalar(scans) == 0
