"""Writers of the race: each a client that does anything that one may do, in random order."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Message, MessageStore, TransactionConflict, UnitOfWork
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from tests.ordering.ledger import Attempt, Ledger
from tests.ordering.stage import dsn_of

CATEGORIES = ["a", "b", "c"]
STREAMS = 5
CORRELATIONS = ["x", "y", None]

_LEVELS = ["READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

# A taken position is reported as such to who inserts by itself, under an old snapshot.
_CONFLICTS = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
)


class _Crash(Exception):
    """The client is gone."""


class Writer:
    """Begins transactions, and ends them in one way or another, until it is told to stop."""

    def __init__(
        self, url: URL, number: int, seed: int, ledger: Ledger, stop: Event, two_phase: bool
    ) -> None:
        self._dsn = dsn_of(url)
        self._engine = create_engine(url, pool_size=1, max_overflow=0)
        self._gid = f"race {url.database} {number}"
        self._random = random.Random(seed * 1000 + number)
        self._ledger = ledger
        self._stop = stop
        self._two_phase = two_phase
        self._connection: psycopg.Connection | None = None
        self.pid: int | None = None
        """Of the backend that it works with, for who wants to end that."""
        self._last_pid: int | None = None

    def run(self) -> None:
        while not self._stop.is_set():
            kind = self._random.choices([self._plain, self._store, self._unit], [6, 2, 2])[0]
            attempt = Attempt()
            try:
                kind(attempt)
            except (TransactionConflict, *_CONFLICTS):
                self._ledger.count("conflict")
                attempt.given_up()
            except DBAPIError as error:
                self._failed(error.orig, attempt)
            except (psycopg.OperationalError, _Crash) as error:
                self._failed(error, attempt)
            finally:
                self.pid = None
                self._ledger.enter(attempt)
            self._pause()
        self._disconnect()
        self._engine.dispose()

    def _failed(self, error: BaseException | None, attempt: Attempt) -> None:
        if isinstance(error, _CONFLICTS):
            self._ledger.count("conflict")
            attempt.given_up()
            return
        if not isinstance(error, psycopg.OperationalError | _Crash):
            raise error or AssertionError
        self._ledger.count("crash")
        self._disconnect()
        if self._two_phase:
            self._end_prepared()

    def _plain(self, attempt: Attempt) -> None:
        """Plain SQL, as clients in other languages send it."""
        connection = self._connect()
        try:
            connection.execute(f"BEGIN ISOLATION LEVEL {self._random.choice(_LEVELS)}".encode())
            for stream_name in self._streams():
                self._pause()
                with self._savepoint(connection, attempt):
                    self._write(connection, stream_name, attempt)
                if self._chance(0.1):
                    self._read(connection)
            self._pause()
            self._end(connection, attempt)
        except _CONFLICTS:
            connection.execute("ROLLBACK")
            raise

    def _write(self, connection: psycopg.Connection, stream_name: str, attempt: Attempt) -> None:
        ways: list[Callable[[psycopg.Connection, str, Attempt], None]]
        ways = [self._write_message, self._write_messages, self._insert, self._copy]
        way = self._random.choices(ways, [6, 2, 2, 1])[0]
        self._ledger.count(way.__name__.lstrip("_"))
        way(connection, stream_name, attempt)

    def _write_message(self, connection: Any, stream_name: str, attempt: Attempt) -> None:
        for id_ in self._ids(attempt, self._random.choice([1, 1, 1, 3])):
            connection.execute(
                "SELECT message_store.write_message(%s, %s, 'T', '{}', %s)",
                (str(id_), stream_name, self._metadata()),
            )
            self._pause()

    def _write_messages(self, connection: Any, stream_name: str, attempt: Attempt) -> None:
        category, _, _ = stream_name.partition("-")
        names = [stream_name, f"{category}-{self._random.randrange(STREAMS)}"]
        entries = [
            {
                "id": str(id_),
                "stream_name": self._random.choice(names),
                "type": "T",
                "metadata": json.loads(self._metadata()),
            }
            for id_ in self._ids(attempt, self._random.randint(2, 8))
        ]
        connection.execute(
            "SELECT * FROM message_store.write_messages(%s::jsonb)", (json.dumps(entries),)
        )

    def _insert(self, connection: Any, stream_name: str, attempt: Attempt) -> None:
        """Take the lock, and insert by itself."""
        connection.execute("SELECT message_store.acquire_lock(%s)", (stream_name,))
        self._pause()
        for id_ in self._ids(attempt, 2):
            connection.execute(
                "INSERT INTO message_store.messages (id, stream_name, position, type, metadata) "
                "VALUES (%s, %s, coalesce(message_store.stream_version(%s), -1) + 1, 'T', %s)",
                (id_, stream_name, stream_name, self._metadata()),
            )
            self._pause()
        self._check(connection, stream_name)

    def _copy(self, connection: Any, stream_name: str, attempt: Attempt) -> None:
        ids = list(self._ids(attempt, self._random.randint(2, 20)))
        (versions, global_positions) = connection.execute(
            "SELECT * FROM message_store.prepare_copy(%s, %s)", ([stream_name], len(ids))
        ).fetchone()
        self._pause()
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY message_store.messages "
                "(global_position, position, id, stream_name, type, metadata) FROM STDIN"
            ) as copying,
        ):
            for number, id_ in enumerate(ids):
                position = versions[0] + 1 + number
                copying.write_row(
                    (global_positions[number], position, id_, stream_name, "T", self._metadata())
                )
        self._check(connection, stream_name)

    def _check(self, connection: Any, stream_name: str) -> None:
        """Who inserts under an old snapshot has to ask whether the version still held."""
        connection.execute("SELECT message_store.check_deletions(%s)", ([stream_name],))

    def _read(self, connection: psycopg.Connection) -> None:
        """A writer may read, too, between or before what it writes."""
        connection.execute("SAVEPOINT reading")
        try:
            connection.execute(
                "SELECT count(*) FROM message_store.get_category_messages(%s, %s)",
                (self._random.choice(CATEGORIES), self._random.randrange(1, 1000)),
            )
        except psycopg.DatabaseError as error:
            if error.diag.constraint_name != "read_not_exact":
                raise
            connection.execute("ROLLBACK TO SAVEPOINT reading")

    def _store(self, attempt: Attempt) -> None:
        """The library, over a connection."""
        options = {"isolation_level": self._random.choice(_LEVELS)}
        with self._engine.connect().execution_options(**options) as connection:
            self.pid = _pid(connection)
            store = MessageStore(connection)
            for stream_name in self._streams():
                self._pause()
                ids: set[UUID] = set()
                savepoint = connection.begin_nested()
                many = self._chance(0.05)
                number = COPY_THRESHOLD + 20 if many else self._random.randint(1, 4)
                messages = [self._message(id_) for id_ in self._ids(attempt, number, ids)]
                if many:
                    self._ledger.count("load")
                    store.load((stream_name, message) for message in messages)
                else:
                    self._ledger.count("store")
                    store.write(stream_name, messages)
                if self._chance(0.2):
                    savepoint.rollback()
                    attempt.take_back(ids)
                else:
                    savepoint.commit()
            self._pause()
            if self._chance(0.2):
                connection.rollback()
                return
            attempt.commits()
            connection.commit()
            attempt.committed()

    def _unit(self, attempt: Attempt) -> None:
        """The library's unit of work, with streams in any order."""
        self._ledger.count("unit of work")
        engine = self._engine.execution_options(isolation_level=self._random.choice(_LEVELS))
        with UnitOfWork(sessionmaker(engine)) as unit:
            self.pid = _pid(unit.session.connection())
            streams = self._streams()
            self._random.shuffle(streams)
            for stream_name in streams:
                unit.write(stream_name, [self._message(id_) for id_ in self._ids(attempt, 2)])
            self._pause()
            if self._chance(0.1):
                unit.rollback()
                return
            attempt.commits()
            unit.commit()
            attempt.committed()

    def _end(self, connection: psycopg.Connection, attempt: Attempt) -> None:
        ends = [self._commit, self._rollback, self._crash, self._crash_at_commit, self._prepare]
        end = self._random.choices(ends, [70, 10, 4, 3, 10 if self._two_phase else 0])[0]
        end(connection, attempt)

    def _commit(self, connection: psycopg.Connection, attempt: Attempt) -> None:
        attempt.commits()
        connection.execute("COMMIT")
        attempt.committed()

    def _rollback(self, connection: psycopg.Connection, attempt: Attempt) -> None:
        self._ledger.count("rollback")
        connection.execute("ROLLBACK")

    def _crash(self, connection: psycopg.Connection, attempt: Attempt) -> None:
        _cut(connection)
        raise _Crash

    def _crash_at_commit(self, connection: psycopg.Connection, attempt: Attempt) -> None:
        attempt.commits()
        connection.pgconn.send_query(b"COMMIT")
        connection.pgconn.flush()
        _cut(connection)
        raise _Crash

    def _prepare(self, connection: psycopg.Connection, attempt: Attempt) -> None:
        self._ledger.count("two-phase commit")
        gid = sql.Literal(self._gid)
        if self._chance(0.8):
            attempt.commits()
        connection.execute(sql.SQL("PREPARE TRANSACTION {}").format(gid))
        self._pause()
        if attempt.outcome == "unknown":
            connection.execute(sql.SQL("COMMIT PREPARED {}").format(gid))
            attempt.committed()
        else:
            connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(gid))

    def _end_prepared(self) -> None:
        """Roll back what this writer left behind, and could never have been committed by others."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            # A backend that was told to end may still be preparing.
            while connection.execute(
                "SELECT FROM pg_stat_activity WHERE pid = %s", (self._last_pid,)
            ).rowcount:
                time.sleep(0.005)
            with suppress(psycopg.errors.UndefinedObject):
                connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(self._gid)))

    @contextmanager
    def _savepoint(self, connection: psycopg.Connection, attempt: Attempt) -> Iterator[None]:
        """Around some writes, of which some are taken back."""
        if not self._chance(0.3):
            yield
            return
        before = set(attempt.ids)
        connection.execute("SAVEPOINT race")
        yield
        if self._chance(0.5):
            self._ledger.count("savepoint")
            self._pause()
            connection.execute("ROLLBACK TO SAVEPOINT race")
            attempt.take_back(attempt.ids - before)
        else:
            connection.execute("RELEASE SAVEPOINT race")

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._dsn, autocommit=True)
        self.pid = self._last_pid = self._connection.info.backend_pid
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _streams(self) -> list[str]:
        """One to three, mostly in the order in which the others take them, too."""
        names = [
            f"{self._random.choice(CATEGORIES)}-{self._random.randrange(STREAMS)}"
            for _ in range(self._random.randint(1, 3))
        ]
        return sorted(names) if self._chance(0.9) else names

    def _ids(self, attempt: Attempt, number: int, also: set[UUID] | None = None) -> Iterator[UUID]:
        for _ in range(number):
            id_ = uuid4()
            attempt.ids.add(id_)
            if also is not None:
                also.add(id_)
            yield id_

    def _message(self, id_: UUID) -> Message:
        return Message("T", {}, metadata=json.loads(self._metadata()), id=id_)

    def _metadata(self) -> str:
        correlation = self._random.choice(CORRELATIONS)
        return json.dumps({"correlationStreamName": f"{correlation}-1"} if correlation else {})

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pause(self) -> None:
        if self._chance(0.3):
            time.sleep(self._random.random() ** 3 * 0.02)


def _pid(connection: Connection) -> int:
    driver_connection: Any = connection.connection.driver_connection
    return int(driver_connection.info.backend_pid)


def _cut(connection: psycopg.Connection) -> None:
    """Cut the line, so that the server hears no goodbye."""
    with socket.socket(fileno=connection.fileno()) as line:
        line.shutdown(socket.SHUT_RDWR)
        line.detach()
