"""Export, import and tail of a store of which messages were deleted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

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
from mdb_sqla.transfer import RawReader, export, import_lines
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
