"""Export of a stream or a category, on each node of a Citus cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete
from sqlalchemy.orm import Session

from mdb_sqla import InvalidArgument, Message, MessageStore, StoreRewound, tables
from mdb_sqla.database.citus import CATEGORY
from mdb_sqla.transfer import Following, RawReader, export
from mdb_sqla.transfer.rewind_detection import marks_up_to
from mdb_sqla.words.stream_name import StreamName
from tests.citus.conftest import Cluster
from tests.cli.test_mdb import mdb


def write(node: Engine, *streams: str) -> None:
    with Session(node) as session:
        MessageStore(session).write_messages([(name, Message("Opened")) for name in streams])
        session.commit()


def exported(node: Engine, reader: RawReader) -> list[tuple[str, int, int]]:
    with node.connect() as connection:
        return [
            (message.stream_name, message.position, message.global_position)
            for batch in export(connection, reader)
            for message in batch
        ]


def test_a_category_and_a_stream(node: Engine, category: str) -> None:
    write(node, f"{category}-1", f"{category}other-1", f"{category}-2", f"{category}-1")

    first, second, third = (f"{category}-1", 0, 1), (f"{category}-2", 0, 2), (f"{category}-1", 1, 3)
    assert exported(node, RawReader(category)) == [first, second, third]
    assert exported(node, RawReader(category, 2)) == [second, third]
    assert exported(node, RawReader(category, 4)) == []
    assert exported(node, RawReader(f"{category}-1")) == [first, third]
    assert exported(node, RawReader(f"{category}-1", 1)) == [third]
    with pytest.raises(
        InvalidArgument, match="global_position 5 is beyond the end of the store, 3"
    ):
        exported(node, RawReader(category, 5))


def test_marks_are_messages_of_the_category(node: Engine, category: str) -> None:
    name, other = f"{category}-1", f"{category}other-1"
    write(node, *([name, other] * 12))

    with node.connect() as connection:
        of_category = marks_up_to(connection, 12, StreamName(category))
        of_stream = marks_up_to(connection, 11, StreamName(name))
    assert [(mark.global_position, mark.category) for mark in of_category] == [
        (position, category) for position in (5, 9, 11, 12)
    ]
    assert [mark.position for mark in of_stream] == [4, 8, 10, 11]
    assert of_stream[-1].id == of_category[-1].id


def test_a_file_is_continued(cluster: Cluster, category: str, tmp_path: Path) -> None:
    file = tmp_path / "messages.jsonl"
    arguments = ["export", category, "--file", str(file), "--schema", cluster.schema]
    for number, node in enumerate(cluster.nodes, 1):
        write(node, f"{category}-{number}", f"{category}other-1")
        done = mdb(*arguments, url=node.url)

        assert "Exported 1 message," in done.stderr
        assert [json.loads(line)["stream_name"] for line in file.read_text().splitlines()] == [
            f"{category}-{each}" for each in range(1, number + 1)
        ]


def test_a_rewound_store(cluster: Cluster, node: Engine, category: str) -> None:
    write(node, *([f"{category}-1", f"{category}other-1"] * 3))
    reader = RawReader(category)
    with node.connect() as connection:
        reader.skip(connection)
        assert reader.next(connection) == []
    with cluster.coordinator.begin() as connection:
        last = CATEGORY.in_([category]), tables.messages.c.global_position > 2
        connection.execute(delete(tables.messages).where(*last))
    write(node, f"{category}-2", f"{category}-2")

    with node.connect() as connection:
        with pytest.raises(StoreRewound):
            reader.next(connection)
        reader.go_back(connection)
        assert [message.stream_name for message in reader.next(connection)] == [
            f"{category}-2",
            f"{category}-2",
        ]


def test_the_same_id_in_another_category(cluster: Cluster, node: Engine, category: str) -> None:
    message = Message("Opened")
    with Session(node) as session:
        for stream in (f"{category}-1", f"{category}other-1"):
            MessageStore(session).write(stream, message)
        session.commit()
    reader = RawReader(category)
    with node.connect() as connection:
        assert len(reader.next(connection)) == 1
    with cluster.coordinator.begin() as connection:
        connection.execute(delete(tables.messages).where(CATEGORY.in_([category])))

    with node.connect() as connection, pytest.raises(StoreRewound):
        reader.next(connection)


def test_tail(node: Engine, category: str) -> None:
    """New messages are found, whichever node they are written on."""
    write(node, f"{category}-1")
    reader = RawReader(category)
    with node.connect() as connection:
        reader.skip(connection)
    following = Following(node, reader, report=lambda error: pytest.fail(str(error)))
    write(node, f"{category}-2", f"{category}other-1")

    for batch in following:
        assert [message.stream_name for message in batch] == [f"{category}-2"]
        following.end()
