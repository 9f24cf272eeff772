"""Jobs beside writers and a consumer, while the store is exported, imported to and verified.

MDB_SOAK_SECONDS says for how long, MDB_SOAK_SEED repeats the choices of another run.
"""

from __future__ import annotations

import json
import logging
import os
import random
from collections import Counter
from functools import partialmethod
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine, func, select
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, MessageStore, admin, retention, tables
from mdb_sqla.transfer import DeletedMessages, RawReader, export, import_lines, message_import
from mdb_sqla.transfer.message_export import open_export
from tests.conftest import Databases
from tests.retention.workers import Workers

SECONDS = float(os.environ.get("MDB_SOAK_SECONDS", "10"))
SEED = int(os.environ.get("MDB_SOAK_SEED", random.SystemRandom().randrange(2**32)))
STREAMS = 30
KEPT = 2

m = tables.messages.c


class Exports:
    """Exports all messages, every second time to the file of the time before.

    Attributes:
        number: how many exports there were.
        gaps: how many files had gaps in a stream.
        lines: the last file.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.number = 0
        self.gaps = 0
        self.lines: list[bytes] = []
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._folder = folder
        self._reported: list[DeletedMessages] = []

    def __call__(self) -> None:
        path = self._folder / str(self.number // 2)
        if not path.exists():
            self._reported.clear()
        reader = RawReader(on_deleted=self._reported.append)
        with open_export(path, reader) as file, self._engine.connect() as connection:
            for batch in export(connection, reader):
                file.writelines(message.line.encode() for message in batch)
        self.number += 1
        self.lines = path.read_bytes().splitlines(keepends=True)
        missing = self._missing()
        self.gaps += bool(missing)
        for category, position in missing:
            assert any(
                each.name == category and each.after < position and each.last >= each.after
                for each in self._reported
            ), (category, position, self._reported)

    def _missing(self) -> list[tuple[str, int]]:
        """The categories and global positions of messages whose predecessor is missing."""
        found = []
        last: dict[str, int] = {}
        for line in self.lines:
            message = json.loads(line)
            name, position = message["stream_name"], message["position"]
            before = last.get(name, position - 1)
            assert before < position, message
            if before + 1 < position:
                found.append((name.partition("-")[0], message["global_position"]))
            last[name] = position
        return found


class Application:
    """Writes to long streams and to an outbox, whose messages a consumer handles."""

    def __init__(self, engine: Engine, chance: random.Random) -> None:
        self.engine = engine
        self.written = Counter[str]()
        self.imported = 0
        self.handled = Counter[int]()
        self.mailing = Consumer("mailing", "outbox", poll_interval=(0.005, 0.05))
        self.mailing.on()(lambda message, unit: self.handled.update([message.data]))
        self._chance = chance

    def write(self) -> None:
        number = self._chance.randrange(1, 4)
        order = f"order-{self._chance.randrange(STREAMS)}"
        mail = f"outbox-{len(self.written)}"
        with self.engine.begin() as connection:
            store = MessageStore(connection)
            store.write(order, [Message("T", each) for each in range(number)])
            store.write(mail, Message("T", len(self.written)))
        self.written.update({order: number, mail: 1})

    def import_more(self) -> None:
        """Import messages of two streams, one of which has lost its beginning elsewhere."""
        whole, rest = (f"order-{uuid4().hex}" for _ in range(2))
        places = [(whole, n) for n in range(15)] + [(rest, n) for n in range(7, 22)]
        lines = [
            {
                "id": str(uuid4()),
                "stream_name": name,
                "type": "T",
                "position": position,
                "global_position": number,
                "time": "2026-01-01T00:00:00Z",
            }
            for number, (name, position) in enumerate(places, 1)
        ]
        with self.engine.connect() as connection:
            done = import_lines(connection, [json.dumps(line).encode() for line in lines])
        assert (done.written, done.stored, done.is_exact) == (30, 0, False)
        self.imported += 1


@pytest.fixture
def application(database: URL) -> Any:
    logging.getLogger(__name__).warning("MDB_SOAK_SEED=%d", SEED)
    engine = create_engine(database, pool_size=15)
    with engine.begin() as connection:
        retention.set_policy(connection, "order", keep_last=KEPT)
        retention.set_policy(connection, "outbox", keep_versions=False)
    yield Application(engine, random.Random(SEED))
    engine.dispose()


def test_transfers_and_verifications(
    application: Application,
    databases: Databases,
    template: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Small batches, between which the others come.
    monkeypatch.setattr(RawReader, "next", partialmethod(RawReader.next, size=20))
    monkeypatch.setattr(message_import, "_MAX_MESSAGES", 4)
    engine, mailing = application.engine, application.mailing
    chance = random.Random(SEED + 1)
    exports = Exports(engine, tmp_path)
    verified = []

    def verify() -> None:
        assert admin.verify(engine).differences == []
        verified.append(True)

    with Workers() as workers:
        workers.start(lambda: mailing.run(sessionmaker(engine)), stop=mailing.stop)
        workers.repeat(application.write)
        for _ in range(2):
            workers.repeat(lambda: retention.run(engine, batch_size=chance.choice([1, 10, 2_000])))
        workers.repeat(exports)
        workers.repeat(application.import_more)
        workers.repeat(verify)
        workers.stopped.wait(SECONDS)

    mailing.catch_up(sessionmaker(engine))
    retention.run(engine)
    verify()
    exports()
    written = application.written
    counts = f"{exports.number} exports, {exports.gaps} with gaps, {len(verified)} verifications, "
    counts += f"{application.imported} imports, {written.total()} messages"
    assert min(exports.number, len(verified), application.imported) > SECONDS / 2, counts
    assert exports.gaps > 0, counts
    with engine.connect() as connection:
        rows = connection.execute(
            select(m.stream_name, func.array_agg(m.position)).group_by(m.stream_name)
        )
        left = {name: sorted(positions) for name, positions in rows}
        deleted = connection.scalar(select(func.sum(tables.deletions.c.messages)))
    kept = {
        name: list(range(number))[-KEPT:]
        for name, number in written.items()
        if name.startswith("order-")
    }
    assert {name: left[name] for name in kept} == kept
    others = [positions for name, positions in left.items() if name not in kept]
    assert sorted(others) == sorted([[13, 14], [20, 21]] * application.imported)
    total = written.total() + 30 * application.imported
    assert total == deleted + sum(map(len, left.values())), counts
    mails = sum(name.startswith("outbox-") for name in written)
    assert len(application.handled) == mails

    lines = exports.lines
    with databases.create(template) as url:
        other = create_engine(url)
        with other.connect() as connection:
            done = import_lines(connection, lines)
        assert (done.written, done.is_exact) == (len(lines), True)
        assert admin.verify(other).differences == []
        other.dispose()
