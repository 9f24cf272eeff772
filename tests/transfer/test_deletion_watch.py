"""An export or tail reports messages that were deleted before it could read them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from mdb_sqla import erasure
from mdb_sqla.transfer import DeletedMessages, Following, RawReader, export
from mdb_sqla.transfer.message_export import open_export
from tests.cli.test_mdb import mdb
from tests.transfer.test_deleted_messages import expire, write


def exported(
    engine: Engine, path: Path, name: str | None, found: list[DeletedMessages]
) -> list[bytes]:
    reader = RawReader(name, on_deleted=found.append)
    with open_export(path, reader) as file, engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        for batch in export(autocommit, reader):
            file.writelines(message.line.encode() for message in batch)
    return path.read_bytes().splitlines(keepends=True)


def deleted_between_batches(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]
) -> list[DeletedMessages]:
    """What an export reports that reads two messages at a time, if something happens after two."""
    monkeypatch.setattr(RawReader, "next", partialmethod(RawReader.next, size=2))
    found: list[DeletedMessages] = []
    with engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        batches = export(autocommit, RawReader(on_deleted=found.append))
        next(batches)
        work()
        list(batches)
    return found


def test_deletions_during_an_export_are_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine, "order-1", 5)
    write(engine, "price-1", 3)
    found = deleted_between_batches(engine, monkeypatch, lambda: expire(engine))
    assert found == [DeletedMessages("order", 2, 5)]
    assert str(found[0]) == (
        "Messages of category order after global position 2 were deleted before they were read, "
        "the last one at 5"
    )


def test_a_deletion_is_reported_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    write(engine, "order-1", 3)
    write(engine, "price-1", 3)
    write(engine, "order-1", 2)
    found = deleted_between_batches(engine, monkeypatch, lambda: expire(engine))
    assert found == [DeletedMessages("order", 2, 8)]


def test_an_erasure_during_an_export_is_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine, "order-1", 5)

    def erase() -> None:
        with engine.begin() as connection:
            erasure.erase_stream(connection, "order-1", reason="asked", whole=True)

    found = deleted_between_batches(engine, monkeypatch, erase)
    assert found == [DeletedMessages("order", 2, 5)]


def test_deletions_of_exported_messages_are_not_reported(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine, "order-1", 2)
    expire(engine)
    write(engine, "order-1", 2)
    write(engine, "price-1", 3)
    assert deleted_between_batches(engine, monkeypatch, lambda: expire(engine)) == []


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        (None, DeletedMessages("order", 3, 5)),
        ("order", DeletedMessages("order", 3, 5)),
        ("order-1", DeletedMessages("order-1", 2, 4)),
    ],
)
def test_an_export_that_continues_reports_what_it_lacks(
    engine: Engine, tmp_path: Path, name: str | None, reported: DeletedMessages
) -> None:
    found: list[DeletedMessages] = []
    write(engine, "order-1", 3)
    exported(engine, tmp_path / "lines", name, found)
    write(engine, "order-1", 2)
    write(engine, "price-1", 1)
    expire(engine)
    expire(engine, "price")
    write(engine, "order-1", 1)
    assert len(exported(engine, tmp_path / "lines", name, found)) == 4
    assert [each for each in found if each.name != "price"] == [reported]
    assert len(exported(engine, tmp_path / "lines", name, found)) == 4
    assert len(found) == (2 if name is None else 1)


def test_a_tail_reports_what_it_lacks(engine: Engine) -> None:
    found: list[DeletedMessages] = []
    reader = RawReader("order", on_deleted=found.append)
    following = Following(engine, reader, lambda error: pytest.fail(str(error)))
    write(engine, "order-1", 2)
    batches = iter(following)
    next(batches)
    write(engine, "order-1", 3)
    expire(engine)
    write(engine, "order-1", 1)
    assert [message.position for message in next(batches)] == [5]
    following.end()
    assert found == [DeletedMessages("order", 2, 5)]


def test_a_role_that_may_not_read_the_log(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    write(engine, "order-1", 5)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE message_store.deletions"))
    assert deleted_between_batches(engine, monkeypatch, lambda: None) == []


def test_the_command_reports_them_on_stderr(engine: Engine, tmp_path: Path) -> None:
    command = ("export", "order", "--file", str(tmp_path / "lines"))
    write(engine, "order-1", 2)
    expire(engine)
    write(engine, "order-1", 2)
    assert "deleted" not in mdb(*command, url=engine.url).stderr
    write(engine, "order-1", 2)
    expire(engine)
    assert (
        "mdb: Messages of category order after global position 4 were deleted before they were "
        "read, the last one at 6."
    ) in " ".join(mdb(*command, url=engine.url).stderr.split())
