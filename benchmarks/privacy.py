"""Encryption of personal data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_bytes
from time import perf_counter

from sqlalchemy import create_engine

from benchmarks.comparison import OURS, Bar, Comparison
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Message
from mdb_sqla.encryption import Encryption, KeyTable, PersonalData

__all__ = ["encryption"]

_TYPE = "Registered"
_DATA = {"customer": "4711", "name": "Ada Lovelace", "email": "ada@example.com", "plan": "small"}
_MOST = 30e-6  # seconds a message


@contextmanager
def encryption(server: Server, size: Size) -> Iterator[Comparison]:
    """Two fields of a message, with a key that is in the cache."""
    with server.ours() as url:
        engine = create_engine(url)
        encrypting = Encryption(
            KeyTable(engine, token_bytes(32)), {_TYPE: PersonalData("customer", ["name", "email"])}
        )

        def side() -> float:
            messages = [Message(_TYPE, _DATA) for _ in range(size.writes * 10)]
            begin = perf_counter()
            for message in messages:
                encrypting.encrypt(message)
            return len(messages) / (perf_counter() - begin)

        yield Comparison(
            "encryption of two fields",
            "messages/s",
            {OURS: side, "30 µs a message": lambda: 1 / _MOST},
            [Bar("", "30 µs a message", 1)],
        )
        engine.dispose()
