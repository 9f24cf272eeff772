"""Decisions across streams, compared with pyeventsourcing's support of DCB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from time import perf_counter

from sqlalchemy.orm import Session, sessionmaker

from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.packages import EVENTSOURCING
from benchmarks.server import Server, opened_engine
from benchmarks.size import Size
from benchmarks.slices import enrollment_application, tags_of
from mdb_sqla import Message, MessageStore, MessageTypes, Query, UnitOfWork

__all__ = ["decisions"]

ENROLLED = 20_000
"""Enrollments before the first decision: 20 in each course, and 4 of each student."""

COURSES = 1000
STUDENTS = 5000

SEATS = 100
MOST_COURSES = 20
"""How many courses a student may take."""

TARGET = 1.5


@dataclass(frozen=True)
class Enrolled:
    course: str
    student: str


types = MessageTypes(Enrolled)


def _pair(number: int) -> tuple[str, str]:
    """Return the course and the student of an enrollment."""
    return f"C{(number + number // STUDENTS) % COURSES}", f"S{number % STUDENTS}"


def _enroll(factory: sessionmaker[Session], course: str, student: str) -> bool:
    """Return whether a student could be enrolled."""
    by_course, by_student = tags_of(course, student)
    query = Query(categories=["enrollment"], types=[Enrolled], tags=[by_course]) | Query(
        categories=["enrollment"], types=[Enrolled], tags=[by_student]
    )
    with UnitOfWork(factory, types=types) as unit:
        seen = unit.store.read(query)
        events = [types.decode(message) for message in seen]
        in_course = sum(event.course == course for event in events)
        by_student_so_far = sum(event.student == student for event in events)
        if in_course >= SEATS or by_student_so_far >= MOST_COURSES:
            return False
        unit.write(
            f"enrollment-{course}+{student}",
            Enrolled(course, student),
            tags=[by_course, by_student],
            unless=query.after(seen),
        )
        unit.commit()
    return True


@contextmanager
def decisions(server: Server, size: Size) -> Iterator[Comparison]:
    """Enroll students in courses, by the tags of both."""
    enrolled = [_pair(number) for number in range(ENROLLED)]
    with (
        opened_engine(server) as engine,
        server.database() as url,
        enrollment_application(url) as application,
    ):
        with engine.begin() as connection:
            MessageStore(connection).load(map(_enrollment, enrolled))
        application.fill(enrolled)
        for filled in (engine.url, url):
            with connect(filled) as analyzing:
                analyzing.execute("VACUUM ANALYZE")
        factory = sessionmaker(engine)
        sides: Mapping[str, Callable[[str, str], bool]] = {
            OURS: lambda course, student: _enroll(factory, course, student),
            EVENTSOURCING: lambda course, student: application.enroll(
                course, student, SEATS, MOST_COURSES
            ),
        }
        yield Comparison(
            "decision across streams",
            "decisions/s",
            {name: _side(enroll, size) for name, enroll in sides.items()},
            [Bar("", EVENTSOURCING, TARGET)],
        )


def _enrollment(pair: tuple[str, str]) -> tuple[str, Message]:
    course, student = pair
    message = types.message(Enrolled(course, student), tags=tags_of(course, student))
    return f"enrollment-{course}+{student}", message


def _side(enroll: Callable[[str, str], bool], size: Size) -> Callable[[], float]:
    numbers = count(ENROLLED)

    def side() -> float:
        begin = perf_counter()
        for number in islice(numbers, size.writes):
            assert enroll(*_pair(number))
        return size.writes / (perf_counter() - begin)

    return side
