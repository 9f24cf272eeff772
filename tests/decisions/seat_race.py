"""A race for few seats: deciders, ordinary writers, deletion, and backends that are terminated.

It ends when the courses are full, or when a rule is broken.
"""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from mdb_sqla import AppendConditionFailed, TransactionConflict
from mdb_sqla.database.sqlstates import is_transient
from tests.decisions.courses import MOST_COURSES, Courses, Rejected
from tests.ordering.stage import dsn_of

DECIDERS = 6
COURSES = 3
SEATS = 12
STUDENTS = 40
PATIENCE = 90.0  # seconds
DECIDER = "decider"

# What an ordinary client calls, at any isolation level: the functions of Message DB.
_WRITE = (
    "SELECT message_store.write_message(gen_random_uuid()::varchar, %s, %s, %s::jsonb, %s::jsonb)"
)
_DELETE = (
    "SELECT message_store.delete_messages(ARRAY(SELECT global_position FROM message_store.messages "
    "WHERE stream_name LIKE 'subscription-noise%' ORDER BY stream_name, position LIMIT 20))"
)
_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
    "AND datname = current_database() AND state <> 'idle' ORDER BY random() LIMIT 1"
)
_LEVELS = [
    psycopg.IsolationLevel.READ_COMMITTED,
    psycopg.IsolationLevel.REPEATABLE_READ,
    psycopg.IsolationLevel.SERIALIZABLE,
]


class Outcome(NamedTuple):
    """What a race has come to."""

    counts: Counter[str]
    problems: list[str]


class SeatRace:
    """Runs until all courses are full."""

    def __init__(self, url: URL, *, typed: bool, seed: int) -> None:
        self._url = url
        self._dsn = dsn_of(url)
        self._typed = typed
        self._random = random.Random(seed)
        self._stop = Event()
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._problems: list[str] = []
        self._subscribed: set[UUID] = set()
        self._unknown: set[UUID] = set()

    def run(self) -> Outcome:
        engine = create_engine(self._url, poolclass=NullPool)
        courses = Courses(sessionmaker(engine), typed=self._typed)
        for course in range(COURSES):
            courses.define(course, SEATS)
        deciders = [
            self._start(self._decide, self._random.randrange(2**32)) for _ in range(DECIDERS)
        ]
        others = [
            self._start(each, self._random.randrange(2**32))
            for each in (self._write, self._write, self._unsubscribe, self._delete, self._terminate)
        ]
        deadline = time.monotonic() + PATIENCE
        for thread in deciders:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._problems.append("a decider does not come to an end")
        self._stop.set()
        for thread in others:
            thread.join(PATIENCE)
        self._check()
        return Outcome(self._counts, self._problems)

    def _start(self, target: Callable[[random.Random], None], seed: int) -> Thread:
        def run() -> None:
            try:
                target(random.Random(seed))
            except Exception:
                self._problems.append(traceback.format_exc())
                self._stop.set()

        thread = Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _decide(self, chance: random.Random) -> None:
        """Subscribe students to courses until all of them are full."""
        engine = create_engine(
            self._url, poolclass=NullPool, connect_args={"application_name": DECIDER}
        )
        courses = Courses(sessionmaker(engine), typed=self._typed)
        full: set[int] = set()
        while len(full) < COURSES and not self._stop.is_set():
            course, student, id_ = chance.randrange(COURSES), chance.randrange(STUDENTS), uuid4()
            while True:
                try:
                    courses.subscribe(course, student, id=id_)
                except Rejected as error:
                    self._count(str(error))
                    full |= {course} if "full" in str(error) else set()
                except AppendConditionFailed:
                    self._count("condition failed")
                    if not self._stop.is_set():
                        continue
                except TransactionConflict:
                    self._count("conflict")
                    continue
                except DBAPIError as error:
                    if not is_transient(error):
                        raise
                    self._count("terminated")
                    with self._lock:
                        self._unknown.add(id_)
                else:
                    self._count("subscribed")
                    with self._lock:
                        self._subscribed.add(id_)
                break

    def _write(self, chance: random.Random) -> None:
        """Write messages that match no query; an ordinary writer is never refused."""
        with psycopg.connect(self._dsn) as connection:
            while not self._stop.is_set():
                connection.isolation_level = level = chance.choice(_LEVELS)
                try:
                    self._write_some(connection, chance)
                    connection.commit()
                except psycopg.errors.SerializationFailure:
                    # With another writer at this level.
                    if level != psycopg.IsolationLevel.SERIALIZABLE:
                        raise
                    connection.rollback()
                self._count("ordinary")
                self._stop.wait(chance.random() * 0.01)

    def _write_some(self, connection: psycopg.Connection, chance: random.Random) -> None:
        stream_name = f"subscription-noise{uuid4()}"
        for number in range(chance.randrange(1, 4)):
            type_ = "Noted" if number else "StudentSubscribed"
            tags = '{"tags": ["course:x"]}' if chance.random() < 0.5 else None
            data = '{"course": -1, "student": -1}'
            connection.execute(_WRITE, [stream_name, type_, data, tags])
            if chance.random() < 0.2:
                self._stop.wait(0.005)

    def _unsubscribe(self, chance: random.Random) -> None:
        """Give seats back, as an ordinary writer that asks nobody: less can't break a rule."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for _ in range(SEATS):
                rows = connection.execute(
                    "SELECT (data ->> 'course')::int, (data ->> 'student')::int, metadata::text "
                    "FROM message_store.messages WHERE type = 'StudentSubscribed' "
                    "AND stream_name ~ '^subscription-[0-9]' ORDER BY random() LIMIT 1"
                ).fetchall()
                for course, student, tags in rows:
                    data = f'{{"course": {course}, "student": {student}}}'
                    stream_name = f"subscription-{course}+{student}"
                    connection.execute(_WRITE, [stream_name, "StudentUnsubscribed", data, tags])
                    self._count("unsubscribed")
                if self._stop.wait(chance.random() * 0.05):
                    return

    def _delete(self, chance: random.Random) -> None:
        """Delete messages of the category, as retention does."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.wait(chance.random() * 0.05):
                ((number,),) = connection.execute(_DELETE).fetchall()
                self._counts["deleted"] += number

    def _terminate(self, chance: random.Random) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not self._stop.wait(0.02 + chance.random() * 0.1):
                connection.execute(_TERMINATE, [DECIDER])

    def _check(self) -> None:
        """Go through the messages in their order: no rule is broken at any of them."""
        courses: dict[int, set[int]] = {course: set() for course in range(COURSES)}
        stored = set()
        with psycopg.connect(self._dsn) as connection:
            rows = connection.execute(
                "SELECT id, type, (data ->> 'course')::int, (data ->> 'student')::int "
                "FROM message_store.messages WHERE stream_name ~ '^subscription-[0-9]' "
                "ORDER BY global_position"
            ).fetchall()
        for id_, type_, course, student in rows:
            students = courses[course]
            if type_ == "StudentUnsubscribed":
                students.discard(student)
                continue
            stored.add(id_)
            if student in students:
                self._problems.append(f"student {student} is subscribed twice to {course}")
            students.add(student)
            if len(students) > SEATS:
                self._problems.append(f"{len(students)} students on {SEATS} seats of {course}")
            if sum(student in each for each in courses.values()) > MOST_COURSES:
                self._problems.append(f"student {student} has too many courses")
        if lost := self._subscribed - stored:
            self._problems.append(f"{len(lost)} seats were lost")
        if strange := stored - self._subscribed - self._unknown:
            self._problems.append(f"{len(strange)} seats are nobody's")
