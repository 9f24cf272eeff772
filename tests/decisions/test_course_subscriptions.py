from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Query, UnitOfWork
from tests.decisions.conftest import CLIENTS, at_once, retry_conflicts
from tests.decisions.courses import MOST_COURSES, Courses, Rejected


@pytest.fixture(params=[True, False], ids=["typed", "plain"])
def courses(factory: sessionmaker[Session], request: pytest.FixtureRequest) -> Courses:
    return Courses(factory, typed=request.param)


def subscriptions(factory: sessionmaker[Session], tag: str) -> int:
    with UnitOfWork(factory) as unit:
        return len(unit.store.read(Query(categories=["subscription"], tags=[tag])))


def test_rules(courses: Courses) -> None:
    courses.define(1, capacity=2)
    courses.subscribe(1, student=1)

    with pytest.raises(Rejected, match="the course exists"):
        courses.define(1, capacity=3)
    with pytest.raises(Rejected, match="there is no such course"):
        courses.subscribe(2, student=1)
    with pytest.raises(Rejected, match="already subscribed"):
        courses.subscribe(1, student=1)
    courses.subscribe(1, student=2)
    with pytest.raises(Rejected, match="the course is full"):
        courses.subscribe(1, student=3)
    for course in range(2, MOST_COURSES + 2):
        courses.define(course, capacity=1)
        if course <= MOST_COURSES:
            courses.subscribe(course, student=1)
    with pytest.raises(Rejected, match="too many courses"):
        courses.subscribe(MOST_COURSES + 1, student=1)


def test_the_last_seat(courses: Courses, factory: sessionmaker[Session]) -> None:
    courses.define(1, capacity=3)
    subscribe = retry_conflicts(courses.subscribe)

    results = at_once(*(partial(subscribe, 1, student) for student in range(CLIENTS)))

    assert [str(each) for each in results if each is not None] == ["the course is full"] * (
        CLIENTS - 3
    )
    assert subscriptions(factory, "course:1") == 3


def test_one_student_everywhere(courses: Courses, factory: sessionmaker[Session]) -> None:
    for course in range(CLIENTS):
        courses.define(course, capacity=1)
    subscribe = retry_conflicts(courses.subscribe)

    results = at_once(*(partial(subscribe, course, 1) for course in range(CLIENTS)))

    assert [str(each) for each in results if each is not None] == ["too many courses"] * (
        CLIENTS - MOST_COURSES
    )
    assert subscriptions(factory, "student:1") == MOST_COURSES
