"""A subject is forgotten while others read and write: when it takes effect, and that none stops."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, Message, StoredMessage, SubjectForgotten, UnitOfWork
from mdb_sqla.encryption import AsyncEncryption, AsyncKeyTable, Encryption, Forgotten
from mdb_sqla.encryption.key_cache import KeyCache
from tests.conftest import Flavour
from tests.encryption.conftest import ADA, MASTER, PERSONAL, Keys, Shop

AGE = 0.3  # seconds


class Clock:
    """A time that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_key_is_looked_up_again_after_its_age(clock: Clock) -> None:
    keys = Keys()
    encryption = Encryption(keys, PERSONAL, max_age=60)
    message = Message("Registered", ADA)
    encryption.encrypt(message)
    keys.keys["ada"] = None
    clock.now += 59.9
    encryption.encrypt(message)
    assert keys.calls == ["ada"]
    clock.now += 0.1
    with pytest.raises(SubjectForgotten):
        encryption.encrypt(message)
    assert keys.calls == ["ada", "ada"]


def test_the_age_counts_from_before_the_lookup(clock: Clock) -> None:
    """A key can be deleted as soon as it was read, and the answer may take long."""
    keys = Keys()

    class Slow(Keys):
        def create_key(self, subject: str) -> bytes:
            key = keys.create_key(subject)
            keys.keys[subject] = None
            clock.now += 59
            return key

    encryption = Encryption(Slow(), PERSONAL, max_age=60)
    encryption.encrypt(Message("Registered", ADA))
    clock.now += 1
    assert encryption._cache.get("ada") is None


def test_the_number_of_keys_in_memory_is_bounded() -> None:
    cache = KeyCache(max_age=60, max_keys=2)
    for subject in ("ada", "bob"):
        cache.add(subject, b"k" * 32, time.monotonic())
    assert cache.get("ada") is not None
    cache.add("eve", b"k" * 32, time.monotonic())
    assert [cache.get(subject) is None for subject in ("ada", "bob", "eve")] == [False, True, False]


READER = """
import sys, time
from sqlalchemy import create_engine
from tests.encryption.conftest import Shop

shop = Shop(create_engine(sys.argv[1]))
encryption = shop.encryption(max_age=float(sys.argv[2]))
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    ((data, *_)) = shop.read(encryption)
    print(repr(data["name"]), flush=True)
    if not data["name"]:
        break
"""


def test_another_process_that_decrypts_meanwhile(shop: Shop, clean_database: URL) -> None:
    """It sees the name until its key is too old, then that it is forgotten, and never an error."""
    shop.write(shop.encryption())
    url = clean_database.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", READER, url, str(AGE)], stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "'Ada'\n"
        shop.forget()
        forgotten = time.monotonic()
        lines = reader.stdout.readlines()
        assert time.monotonic() - forgotten < AGE + 5  # the machine may be busy
    assert reader.returncode == 0
    assert {*lines[:-1]} <= {"'Ada'\n"}
    assert lines[-1] == "Forgotten('ada')\n"


def test_a_consumer_goes_on(shop: Shop) -> None:
    encryption = shop.encryption(max_age=0.001)
    shop.write(encryption)
    shop.write(encryption, {**ADA, "customer": "bob", "name": "Bob"})
    shop.forget()
    names: list[Any] = []
    consumer = Consumer("mailing", "customer")

    @consumer.on("Registered")
    def welcome(message: StoredMessage, unit: UnitOfWork) -> None:
        names.append(encryption.decrypt(message).data["name"])
        unit.write("mail-1", Message("Sent", {"to": names[-1]}))

    consumer.catch_up(sessionmaker(shop.engine))
    assert [isinstance(name, Forgotten) for name in names] == [True, False]
    assert names == ["", "Bob"]


def test_async(flavour: Flavour, shop: Shop) -> None:
    if not flavour.asynchronous:
        pytest.skip("with an async engine")
    keys = AsyncKeyTable(flavour.engine, MASTER)
    encryption = AsyncEncryption(keys, PERSONAL, max_age=0.001)
    other = Message("Shipped")
    assert flavour.run(encryption.encrypt(other)) is other
    encrypted = flavour.run(encryption.encrypt(Message("Registered", ADA)))
    # The sync one gives the same.
    assert shop.encryption().encrypt(Message("Registered", ADA, id=encrypted.id)) == encrypted

    with flavour.unit_of_work(async_sessionmaker(flavour.engine)) as unit:
        unit.write("customer-1", encrypted)
        flavour.run(unit.commit())
    (stored,) = shop.stored()
    assert flavour.run(encryption.decrypt(stored)).data == ADA
    plain = stored._replace(metadata={})
    assert flavour.run(encryption.decrypt(plain)) is plain
    shop.forget()
    names: list[Any] = []
    consumer = Consumer("mailing", "customer")

    @consumer.on("Registered")
    async def welcome(message: StoredMessage, unit: Any) -> None:
        names.append((await encryption.decrypt(message)).data["name"])

    flavour.run(consumer.catch_up_async(async_sessionmaker(flavour.engine)))
    assert [isinstance(name, Forgotten) for name in names] == [True]
    with pytest.raises(SubjectForgotten):
        flavour.run(encryption.encrypt(Message("Registered", ADA)))


def test_a_repeated_write_is_recognized(shop: Shop) -> None:
    message = Message("Registered", ADA)
    factory = sessionmaker(shop.engine)
    for _ in range(2):
        with UnitOfWork(factory) as unit:
            unit.write("customer-1", shop.encryption().encrypt(message))
            unit.commit()
    assert len(shop.stored()) == 1
