"""A sign-up is confirmed with a one-time password, once, and not after it has expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from mdb_sqla import Message, Query, UnitOfWork
from tests.decisions.conftest import CLIENTS, at_once, retry_conflicts

LIFETIME = timedelta(minutes=60)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Rejected(Exception):
    pass


class SignUps:
    def __init__(self, factory: sessionmaker[Session]) -> None:
        self.factory = factory

    def initiate(self, email: str, password: str) -> None:
        with UnitOfWork(self.factory) as unit:
            initiated = Message("SignUpInitiated", {"at": NOW.isoformat()})
            tags = [f"email:{email}", f"otp:{password}"]
            unit.write(f"signUp-{email}", initiated, tags=tags)
            unit.commit()

    def confirm(self, email: str, password: str, now: datetime = NOW) -> None:
        query = Query(
            categories=["signUp"],
            types=["SignUpInitiated", "SignUpConfirmed"],
            tags=[f"email:{email}", f"otp:{password}"],
        )
        with UnitOfWork(self.factory) as unit:
            seen = unit.store.read(query)
            if not seen:
                raise Rejected("no pending sign-up")
            if seen[-1].type == "SignUpConfirmed":
                raise Rejected("already used")
            if now - datetime.fromisoformat(seen[0].data["at"]) > LIFETIME:
                raise Rejected("expired")
            confirmed = Message("SignUpConfirmed")
            tags = [f"email:{email}", f"otp:{password}"]
            unit.write(f"signUp-{email}", confirmed, tags=tags, unless=query.after(seen))
            unit.commit()


@pytest.fixture
def sign_ups(factory: sessionmaker[Session]) -> SignUps:
    return SignUps(factory)


def test_rules(sign_ups: SignUps) -> None:
    sign_ups.initiate("ada", "1234")

    for email, password in (("ada", "0000"), ("bob", "1234")):
        with pytest.raises(Rejected, match="no pending sign-up"):
            sign_ups.confirm(email, password)
    with pytest.raises(Rejected, match="expired"):
        sign_ups.confirm("ada", "1234", NOW + LIFETIME + timedelta(seconds=1))
    sign_ups.confirm("ada", "1234", NOW + LIFETIME)
    with pytest.raises(Rejected, match="already used"):
        sign_ups.confirm("ada", "1234")


def test_once(sign_ups: SignUps) -> None:
    sign_ups.initiate("ada", "1234")
    confirm = retry_conflicts(sign_ups.confirm)

    results = at_once(*[lambda: confirm("ada", "1234")] * CLIENTS)

    assert [str(each) for each in results if each is not None] == ["already used"] * (CLIENTS - 1)
