"""Course subscriptions: a course has so many seats, and a student takes so many courses."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Message, MessageTypes, Query, QueryResult, UnitOfWork

MOST_COURSES = 5


@dataclass(frozen=True)
class CourseDefined:
    course: int
    capacity: int


@dataclass(frozen=True)
class StudentSubscribed:
    course: int
    student: int


@dataclass(frozen=True)
class StudentUnsubscribed:
    course: int
    student: int


Event = CourseDefined | StudentSubscribed | StudentUnsubscribed
types = MessageTypes(CourseDefined, StudentSubscribed, StudentUnsubscribed)


class Rejected(Exception):
    """A rule does not allow it."""


class Courses:
    """The application, with classes as messages or with plain messages."""

    def __init__(self, factory: sessionmaker[Session], *, typed: bool = True) -> None:
        self._factory = factory
        self._typed = typed

    def define(self, course: int, capacity: int) -> None:
        query = self._query([CourseDefined], f"course:{course}")
        with self._unit() as unit:
            seen = unit.store.read(query)
            if seen:
                raise Rejected("the course exists")
            event = CourseDefined(course, capacity)
            unit.write(
                f"course-{course}",
                self._message(event),
                tags=[f"course:{course}"],
                unless=query.after(seen),
            )
            unit.commit()

    def subscribe(self, course: int, student: int, *, id: UUID | None = None) -> None:  # noqa: A002
        subscriptions: list[type] = [StudentSubscribed, StudentUnsubscribed]
        query = self._query([CourseDefined, *subscriptions], f"course:{course}") | self._query(
            subscriptions, f"student:{student}"
        )
        with self._unit() as unit:
            seen = unit.store.read(query)
            self._check(seen, course, student)
            unit.write(
                f"subscription-{course}+{student}",
                self._message(StudentSubscribed(course, student), id),
                tags=[f"course:{course}", f"student:{student}"],
                unless=query.after(seen),
            )
            unit.commit()

    def _check(self, seen: QueryResult, course: int, student: int) -> None:
        capacity = 0
        students: set[int] = set()
        courses: set[int] = set()
        for message in seen:
            match types.decode(message):
                case CourseDefined(_, defined):
                    capacity = defined
                case StudentSubscribed(of, by):
                    students |= {by} if of == course else set()
                    courses |= {of} if by == student else set()
                case StudentUnsubscribed(of, by):
                    students -= {by} if of == course else set()
                    courses -= {of} if by == student else set()
        if not capacity:
            raise Rejected("there is no such course")
        if student in students:
            raise Rejected("already subscribed")
        if len(students) >= capacity:
            raise Rejected("the course is full")
        if len(courses) >= MOST_COURSES:
            raise Rejected("too many courses")

    def _query(self, kinds: list[type], tag: str) -> Query:
        names: list[str | type] = [*kinds] if self._typed else [each.__name__ for each in kinds]
        return Query(categories=["course", "subscription"], types=names, tags=[tag])

    def _message(self, event: Event, id: UUID | None = None) -> Message | Event:  # noqa: A002
        if self._typed and id is None:
            return event
        return types.message(event, id=id)

    def _unit(self) -> UnitOfWork:
        return UnitOfWork(self._factory, types=types if self._typed else None)
