"""Archives in a folder and in object storage, and a store whose messages go there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, text

from mdb_sqla import archive, retention
from mdb_sqla.archive.location import Location
from mdb_sqla.transfer import RawReader, export
from tests.archive.s3_server import S3Server
from tests.retention.conftest import Store

DAY = timedelta(days=1)


@dataclass
class Place:
    """Where an archive is."""

    url: str

    @property
    def location(self) -> Location:
        return Location(self.url)

    def paths(self, suffix: str = "") -> list[str]:
        return sorted(path for path in self.location.find() if path.endswith(suffix))

    def data_files(self) -> list[str]:
        return [path for path in self.paths() if not path.endswith(".manifest.json")]


class ArchivedStore(Store):
    """Archives, exports and restores messages."""

    def insert(
        self, stream_name: str, *documents: tuple[str | None, str | None], **odd: str
    ) -> None:
        """Insert messages with JSON texts, as any client might write them."""
        for data, metadata in documents:
            self.execute(
                "INSERT INTO message_store.messages "
                "(stream_name, position, type, data, metadata, time) "
                "SELECT :name, coalesce(max(position), -1) + 1, :type, CAST(:data AS jsonb), "
                "CAST(:metadata AS jsonb), CAST(:time AS timestamp) "
                "FROM message_store.messages WHERE stream_name = :name",
                name=stream_name,
                type=odd.get("type", "T"),
                time=odd.get("time", "2020-01-01 00:00:00.5"),
                data=data,
                metadata=metadata,
            )

    def exported(self, name: str | None = None) -> bytes:
        """All messages as exported."""
        with self.engine.connect() as connection:
            batches = list(export(connection, RawReader(name)))
        return "".join(message.line for batch in batches for message in batch).encode()

    def archive(self, place: Place, category: str = "order", **rules: Any) -> int:
        """Archive and delete the messages of a category that are older than a day."""
        batch_size = rules.pop("batch_size", None)
        self.policy(category, **{"keep_age": DAY, "archive": place.url, **rules})
        (done,) = retention.run(self.engine, categories=[category], batch_size=batch_size)
        return done.messages

    def restore(self, place: Place, *categories: str) -> dict[str, tuple[int, int]]:
        """Restore messages; return the numbers of those restored and stored, by category."""
        found = archive.restore(self.engine, place.url, categories=categories)
        return {each.category: (each.messages, each.stored) for each in found}

    def value(self, sql: str) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(text(sql))


@pytest.fixture
def store(clean_database: URL) -> Iterator[ArchivedStore]:
    engine = create_engine(clean_database)
    yield ArchivedStore(engine)
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """An archive in a folder."""
    path = tmp_path / "archive"
    path.mkdir()
    return Place(str(path))


@pytest.fixture(scope="session")
def shared_s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(shared_s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An archive in a bucket, with credentials from the environment."""
    shared_s3_server.start()
    shared_s3_server.delete_bucket_contents()
    shared_s3_server.create_bucket("shop")
    monkeypatch.setenv("AWS_ENDPOINT_URL", shared_s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Place("s3://shop/events")


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    """An archive of each kind."""
    found: Place = request.getfixturevalue(request.param)
    return found
