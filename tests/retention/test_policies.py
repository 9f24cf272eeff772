"""Policies: set, replaced, listed, deleted, and refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from mdb_sqla import InvalidArgument, InvalidStreamName
from mdb_sqla.retention import RetentionPolicy, delete_policy, policies, set_policy
from tests.retention.conftest import Store


def test_a_policy_is_set_replaced_and_deleted(store: Store) -> None:
    with Session(store.engine) as session:
        set_policy(session, "order", keep_age=timedelta(days=30), keep_last=2)
        set_policy(session, "outbox", keep_versions=False)
        session.commit()
    with store.engine.begin() as connection:
        assert policies(connection) == [
            RetentionPolicy("order", timedelta(days=30), 2),
            RetentionPolicy("outbox", keep_versions=False),
        ]
        set_policy(connection, "order", keep_last=1)
        assert policies(connection)[0] == RetentionPolicy("order", None, 1)
        assert delete_policy(connection, "order")
        assert not delete_policy(connection, "order")
        assert policies(connection) == [RetentionPolicy("outbox", keep_versions=False)]


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({}, "until all consumers have handled them"),
        ({"keep_age": timedelta(hours=36)}, "for 1 d 12 h"),
        ({"keep_last": 1_000}, "the last 1,000 messages of each stream"),
        (
            {"keep_age": timedelta(days=1), "keep_last": 1, "keep_versions": False},
            "for 1 d, and the last message of each stream; forget the versions of empty streams",
        ),
    ],
)
def test_a_policy_in_words(rules: dict[str, Any], text: str) -> None:
    assert str(RetentionPolicy("order", **rules)) == text


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ({"keep_age": timedelta(-1)}, r"keep_age must be a positive timedelta, got datetime.time"),
        ({"keep_age": timedelta()}, "keep_age must be a positive timedelta"),
        ({"keep_age": 30}, "keep_age must be a positive timedelta, got 30"),
        ({"keep_last": 0}, "keep_last must be an integer of at least 1, got 0"),
        ({"keep_last": True}, "keep_last must be an integer of at least 1, got True"),
        ({"keep_versions": 1}, "keep_versions must be True or False, got 1"),
    ],
)
def test_rules_that_are_refused(store: Store, rules: dict[str, Any], text: str) -> None:
    with store.engine.begin() as connection:
        with pytest.raises(InvalidArgument, match=text):
            set_policy(connection, "order", **rules)
        assert policies(connection) == []


@pytest.mark.parametrize("name", ["order-1", "", 4])
def test_a_name_that_is_no_category(store: Store, name: Any) -> None:
    with store.engine.begin() as connection, pytest.raises(InvalidStreamName):
        set_policy(connection, name, keep_last=1)
