"""Writers, the retention job and erasures beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mdb_sqla import Message, MessageStore, admin, retention
from mdb_sqla.erasure import erase_stream
from tests.erasure.conftest import CUSTOMER, Shop
from tests.waiting import wait_until

WHOLE = pytest.mark.parametrize("whole", [False, True], ids=["contents", "whole"])
LATE = {"name": "Ada, late"}


@pytest.fixture(params=["stream", "category"])
def granularity(request: pytest.FixtureRequest, shop: Shop) -> Iterator[str]:
    admin.set_lock_granularity(shop.engine, request.param)
    yield request.param
    admin.set_lock_granularity(shop.engine, "stream")


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@WHOLE
@pytest.mark.usefixtures("granularity")
def test_what_an_open_transaction_has_written_does_not_escape(
    shop: Shop, whole: bool, thread: ThreadPoolExecutor
) -> None:
    with shop.engine.begin() as writer:
        MessageStore(writer).write(CUSTOMER, Message("T", LATE))
        erasing = thread.submit(shop.erase, whole=whole)
        wait_until(shop.is_waiting)
    assert erasing.result().messages == 4
    assert LATE not in shop.data()
    assert shop.is_sound()


@WHOLE
@pytest.mark.usefixtures("granularity")
def test_a_writer_waits_for_an_erasure(shop: Shop, whole: bool, thread: ThreadPoolExecutor) -> None:
    with shop.engine.begin() as eraser:
        erase_stream(eraser, CUSTOMER, reason="request 7", whole=whole)
        writing = thread.submit(shop.write, CUSTOMER, LATE)
        wait_until(shop.is_waiting)
    writing.result()
    last = shop.messages(CUSTOMER)[-1]
    assert (last.position, last.data) == (3, LATE)
    assert shop.is_sound()


def test_other_streams_are_written_meanwhile(shop: Shop) -> None:
    with shop.engine.begin() as eraser:
        erase_stream(eraser, CUSTOMER, reason="request 7", whole=True)
        shop.write("customer-2", LATE)
    assert shop.data() == [{"name": "Bob"}, LATE]


@WHOLE
def test_beside_the_retention_job(shop: Shop, whole: bool, thread: ThreadPoolExecutor) -> None:
    """Both change the same rows, again and again, in batches of one."""
    streams = [f"customer-{number}" for number in range(3, 23)]
    for _ in range(3):
        for stream in streams:
            shop.write(stream, {"name": "Eve"})
    with shop.engine.begin() as connection:
        retention.set_policy(connection, "customer", keep_age=timedelta(microseconds=1))

    running = thread.submit(retention.run, shop.engine, batch_size=3)
    erased = sum(shop.erase(stream, whole=whole).messages for stream in streams)
    (done,) = running.result()

    assert shop.messages() == []
    assert (done.messages + erased >= 64) if not whole else (done.messages + erased == 64)
    assert [shop.version(stream) for stream in streams] == [2] * 20
    assert shop.is_sound()
