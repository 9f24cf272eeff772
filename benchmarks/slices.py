"""The decisions of the benchmark, as slices of pyeventsourcing's own support of DCB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Selector, Slice, Tagged
from eventsourcing.dcb.msgpack import Decision, MessagePackMapper
from eventsourcing.domain import event
from eventsourcing.utils import get_topic
from sqlalchemy import URL

from benchmarks.packages import environment

__all__ = ["Enrollments", "enrollment_application", "tags_of"]


class Enrolled(Decision):
    course: str
    student: str


class Enroll(Slice[Decision]):
    """Enrolls a student, unless the course is full or the student takes too many."""

    def __init__(self, course: str, student: str, seats: int, courses: int) -> None:
        self.course, self.student = course, student
        self.seats, self.courses = seats, courses
        self.in_course = self.by_student = 0
        self.is_enrolled = False

    def consistency_boundary(self) -> list[Selector]:
        return [Selector([Enrolled], [tag]) for tag in tags_of(self.course, self.student)]

    @event(Enrolled)
    def _(self, course: str, student: str) -> None:
        self.in_course += course == self.course
        self.by_student += student == self.student

    def execute(self) -> None:
        self.is_enrolled = self.in_course < self.seats and self.by_student < self.courses
        if self.is_enrolled:
            tags = tags_of(self.course, self.student)
            self.trigger_event(Enrolled, tags=tags, course=self.course, student=self.student)


class Enrollments:
    """An application with enrollments."""

    def __init__(self, application: DCBApplication) -> None:
        self._application = application

    def fill(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Append the enrollments of courses and students."""
        self._application.events.append(
            [
                Tagged[Decision](tags_of(course, student), Enrolled(course, student))
                for course, student in pairs
            ]
        )

    def enroll(self, course: str, student: str, seats: int, courses: int) -> bool:
        """Return whether a student could be enrolled."""
        return self._application.do(Enroll(course, student, seats, courses)).is_enrolled


def tags_of(course: str, student: str) -> list[str]:
    return [f"course:{course}", f"student:{student}"]


@contextmanager
def enrollment_application(url: URL) -> Iterator[Enrollments]:
    """Open an application on a database."""
    settings = {
        **environment(url, "eventsourcing.dcb.postgres_tt"),
        "MAPPER_TOPIC": get_topic(MessagePackMapper),
    }
    with DCBApplication(settings) as application:
        yield Enrollments(application)
