"""An application that encrypts the names and cities of its customers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, select

from mdb_sqla import Message, MessageStore, NoSubjectKey, StoredMessage, SubjectForgotten, tables
from mdb_sqla.encryption import Encryption, KeyTable, PersonalData
from mdb_sqla.erasure import forget_subject

MASTER = b"m" * 32
PERSONAL: dict[str, PersonalData | Sequence[PersonalData]] = {
    "Registered": PersonalData("customer", ["name", "address.city"], ["address.zip", "phone"]),
    "Paid": [
        PersonalData("payer", ["payer_name"]),
        PersonalData(lambda data: data["payee"]["id"], ["payee.name"]),
    ],
}
ADA: dict[str, Any] = {
    "customer": "ada",
    "name": "Ada",
    "address": {"city": "London", "door": 12},
    "plan": "pro",
}


class Keys:
    """A key service in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes | None] = {}
        self.calls: list[str] = []

    def create_key(self, subject: str) -> bytes:
        self.calls.append(subject)
        key = self.keys.setdefault(subject, sha256(subject.encode()).digest())
        if key is None:
            raise SubjectForgotten(subject)
        return key

    def find_key(self, subject: str) -> bytes | None:
        self.calls.append(subject)
        if subject not in self.keys:
            raise NoSubjectKey(subject)
        return self.keys[subject]


class Shop:
    """Writes encrypted messages, and reads them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def encryption(self, master_key: Any = MASTER, **options: Any) -> Encryption:
        """That of another process: nothing is in its memory yet."""
        return Encryption(KeyTable(self.engine, master_key), PERSONAL, **options)

    def write(self, encryption: Encryption, data: Any = ADA, type_: str = "Registered") -> None:
        with self.engine.begin() as connection:
            message = encryption.encrypt(Message(type_, data))
            MessageStore(connection).write("customer-1", message)

    def stored(self) -> list[StoredMessage]:
        with self.engine.connect() as connection:
            return MessageStore(connection).read_stream("customer-1")

    def read(self, encryption: Encryption) -> list[Any]:
        return [encryption.decrypt(message).data for message in self.stored()]

    def forget(self, subject: str = "ada") -> bool:
        with self.engine.begin() as connection:
            return forget_subject(connection, subject, reason="request 7")

    def rows(self) -> list[tuple[Any, ...]]:
        c = tables.subject_keys.c
        statement = select(c.subject, c.key, c.forgotten_at).order_by(c.subject)
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(statement)]


@pytest.fixture
def shop(clean_database: URL) -> Iterator[Shop]:
    engine = create_engine(clean_database)
    yield Shop(engine)
    engine.dispose()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def encryption(keys: Keys) -> Encryption:
    return Encryption(keys, PERSONAL)
