"""Export, import and tail of a store of which messages were deleted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.orm import sessionmaker

from mdb_sqla import (
    Consumer,
    Message,
    MessagesDeleted,
    MessageStore,
    StoreRewound,
    admin,
    retention,
)
from mdb_sqla.transfer import (
    RawReader,
    export,
    import_lines,
    message_import,
)
from mdb_sqla.transfer.message_export import open_export
from tests.conftest import Databases

NOW = timedelta(microseconds=1)


def write(engine: Engine, stream_name: str, number: int) -> None:
    with engine.begin() as connection:
        MessageStore(connection).write(stream_name, [Message("T", n) for n in range(number)])


def expire(engine: Engine, category: str = "order") -> None:
    with engine.begin() as connection:
        retention.set_policy(connection, category, keep_age=NOW)
    retention.run(engine, categories=[category])


def exported(engine: Engine, path: Path, name: str | None = None) -> list[bytes]:
    reader = RawReader(name)
    with open_export(path, reader) as file, engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        for batch in export(autocommit, reader):
            file.writelines(message.line.encode() for message in batch)
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("new_positions", [False, True])
def test_truncated_streams_keep_their_positions(
    engine: Engine, databases: Databases, template: URL, tmp_path: Path, new_positions: bool
) -> None:
    write(engine, "order-1", 3)
    write(engine, "order-2", 2)
    expire(engine)
    write(engine, "order-1", 2)
    write(engine, "order-3", 1)
    lines = exported(engine, tmp_path / "lines")
    assert len(lines) == 3

    with databases.create(template) as url:
        other = create_engine(url)
        if new_positions:
            write(other, "x-1", 1)
        with other.connect() as connection:
            done = import_lines(connection, lines)
        assert (done.written, done.is_exact) == (3, not new_positions)
        with other.begin() as connection:
            store = MessageStore(connection)
            found = [(m.stream_name, m.position) for m in store.iterate_category("order")]
            assert found == [("order-1", 3), ("order-1", 4), ("order-3", 0)]
            assert store.write("order-1", Message("T"), expected_version=4) == 5
        assert admin.verify(other).differences == []
        with other.connect() as connection:
            assert import_lines(connection, lines).stored == 3
        consumer = Consumer("billing", "order")
        consumer.on()(lambda message, unit: None)
        with pytest.raises(MessagesDeleted):
            consumer.catch_up(sessionmaker(other))
        other.dispose()


@pytest.mark.parametrize("name", [None, "order", "order-1"])
def test_an_export_is_resumed_after_its_last_message_was_deleted(
    engine: Engine, tmp_path: Path, name: str | None
) -> None:
    write(engine, "order-1", 3)
    assert len(exported(engine, tmp_path / "lines", name)) == 3
    expire(engine)
    assert len(exported(engine, tmp_path / "lines", name)) == 3
    write(engine, "order-1", 2)
    assert len(exported(engine, tmp_path / "lines", name)) == 5


def test_a_deletion_by_hand_is_still_a_rewound_store(engine: Engine, tmp_path: Path) -> None:
    write(engine, "order-1", 3)
    exported(engine, tmp_path / "lines")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM message_store.messages"))
    with pytest.raises(StoreRewound):
        exported(engine, tmp_path / "lines")


def a_line(number: int, stream_name: str = "order-1") -> bytes:
    return (
        f'{{"id": "00000000-0000-4000-8000-{number:012}", "stream_name": "{stream_name}", '
        f'"type": "T", "position": {number - 1}, "global_position": {number}, '
        '"time": "2013-01-01T12:00:00Z"}\n'
    ).encode()


def test_an_import_into_a_store_that_a_policy_has_emptied(engine: Engine) -> None:
    """Its global positions are used, and consumers have passed them."""
    write(engine, "order-1", 5)
    handled: list[int] = []
    consumer = Consumer("billing", "order")
    consumer.on()(lambda message, unit: handled.append(message.global_position))
    consumer.catch_up(sessionmaker(engine))
    expire(engine)

    with engine.connect() as connection:
        done = import_lines(connection, [a_line(n, "order-2") for n in range(1, 4)])
    assert (done.written, done.is_exact) == (3, False)
    consumer.catch_up(sessionmaker(engine))
    assert handled == [1, 2, 3, 4, 5, 6, 7, 8]
    assert admin.verify(engine).differences == []


def test_an_import_beyond_the_positions_of_a_store_that_a_policy_has_emptied(
    engine: Engine,
) -> None:
    write(engine, "order-2", 1)
    expire(engine)
    with engine.connect() as connection:
        done = import_lines(connection, [a_line(n) for n in (2, 3)])
    assert (done.written, done.is_exact) == (2, True)


@pytest.mark.parametrize("others", [0, 1])
def test_an_import_whose_messages_are_deleted_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """A policy does not rewind a store, nor is the job another writer."""
    monkeypatch.setattr(message_import, "_MAX_MESSAGES", 2)
    if others:
        write(engine, "price-1", others)

    def expire_it(_: Any) -> None:
        expire(engine)

    with engine.connect() as connection:
        done = import_lines(connection, [a_line(n) for n in range(1, 8)], expire_it)
    assert (done.written, done.is_exact) == (7, not others)
    with engine.connect() as connection:
        store = MessageStore(connection)
        assert store.read_stream("order-1") == []
        assert store.version("order-1") == 6
    assert admin.verify(engine).differences == []
