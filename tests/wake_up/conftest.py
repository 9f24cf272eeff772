"""Who hears what is told on the channel of a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import URL

from mdb_sqla import Message
from mdb_sqla.wake_up import notifier
from tests.side_by_side.message_db import conninfo
from tests.waiting import PATIENCE, collect_garbage


def message() -> Message:
    return Message("T")


class Ear:
    """Hears what is told on the channel of the store."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def next(self, number: int = 1) -> list[str]:
        """Return the next so many payloads, sorted."""
        heard = self._connection.notifies(timeout=PATIENCE, stop_after=number)
        payloads = [notification.payload for notification in heard]
        assert len(payloads) >= number
        return sorted(payloads)

    def until(self, last: str) -> list[str]:
        """Return what is heard up to a payload."""
        heard = []
        for notification in self._connection.notifies(timeout=PATIENCE):
            heard.append(notification.payload)
            if notification.payload == last:
                return heard
        raise AssertionError(f"{last} is not among {heard}")


@contextmanager
def listening(database: URL, channel: str = "message_store") -> Iterator[Ear]:
    with psycopg.connect(conninfo(database), autocommit=True) as connection:
        connection.execute(f"LISTEN {channel}".encode())
        yield Ear(connection)


@pytest.fixture
def ear(clean_database: URL) -> Iterator[Ear]:
    # An earlier test's notifications come late where its engine or transaction is still there.
    collect_garbage()
    notifier._end_all()
    with listening(clean_database) as ear:
        yield ear
