"""Writers of one category on several nodes, and a category that is moved while they write."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from mdb_sqla import Message, MessageStore, TransactionConflict
from tests.citus.conftest import Cluster

WRITERS = 6
MOVES = 6


@retry(
    retry=retry_if_result(lambda waits: not waits), wait=wait_fixed(0.02), stop=stop_after_delay(20)
)
def wait_for_waiter(node: Engine) -> bool:
    """Wait until a writer waits for another one on a node."""
    with node.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(connection.scalar(waiting))


def write(node: Engine, stream: str) -> int:
    with Session(node) as session:
        MessageStore(session).write(stream, Message("Opened"))
        session.commit()
        return MessageStore(session).version(stream)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("second", [0, 1, 2])
def test_writers_on_all_nodes_wait_for_each_other(
    cluster: Cluster, category: str, first: int, second: int
) -> None:
    with ThreadPoolExecutor() as threads, Session(cluster.nodes[first]) as session:
        MessageStore(session).write(f"{category}-1", Message("Opened"))
        later = threads.submit(write, cluster.nodes[second], f"{category}-2")
        wait_for_waiter(cluster.worker_of(category))
        assert not later.done()
        with Session(cluster.nodes[second]) as reader:
            assert MessageStore(reader).read_category(category) == []

        session.commit()
        assert later.result() == 0
        positions = [
            (each.stream_name, each.global_position)
            for each in MessageStore(session).read_category(category)
        ]
    assert positions == [(f"{category}-1", 1), (f"{category}-2", 2)]


def test_a_deadlock_between_nodes_is_a_conflict(cluster: Cluster, category: str) -> None:
    names = [f"{category}{number}" for number in range(20)]
    of_first = [name for name in names if cluster.worker_of(name) is cluster.workers[0]]
    of_second = [name for name in names if cluster.worker_of(name) is cluster.workers[1]]
    both = (f"{of_first[0]}-1", f"{of_second[0]}-1")
    has_written = threading.Barrier(2)

    def write_in_order(*streams: str) -> bool:
        with Session(cluster.coordinator) as session:
            store = MessageStore(session)
            store.write(streams[0], Message("Opened"))
            has_written.wait()
            try:
                store.write(streams[1], Message("Opened"))
                session.commit()
            except TransactionConflict:
                return False
            return True

    with ThreadPoolExecutor() as threads:
        results = [
            threads.submit(write_in_order, *both),
            threads.submit(write_in_order, *reversed(both)),
        ]
        assert sorted(each.result() for each in results) == [False, True]


def test_a_category_moves_while_it_is_written_to(cluster: Cluster, category: str) -> None:
    """Nothing is lost, written twice or out of order; a transaction may have to be repeated."""
    acknowledged: list[tuple[int, Message]] = []
    conflicts: list[TransactionConflict] = []
    seen = defaultdict[int, list[int]](list)
    is_moved = threading.Event()

    def write_until_moved(number: int) -> None:
        node = cluster.nodes[number % len(cluster.nodes)]
        while not is_moved.is_set():
            messages = [(f"{category}-{number}", Message("Moved")) for _ in range(1 + number % 3)]
            try:
                with Session(node) as session:
                    written = MessageStore(session).write_messages(messages)
                    session.commit()
            except TransactionConflict as error:
                conflicts.append(error)
            else:
                acknowledged.extend(
                    (position.global_position, message)
                    for position, (_, message) in zip(written, messages, strict=True)
                )

    def read_until_moved(number: int) -> None:
        with Session(cluster.nodes[number]) as session:
            while not is_moved.is_set():
                last = seen[number][-1] if seen[number] else 0
                page = MessageStore(session).read_category(category, last + 1, 10)
                seen[number] += [each.global_position for each in page]
                session.rollback()

    with ThreadPoolExecutor(WRITERS + len(cluster.nodes)) as threads:
        running = [threads.submit(write_until_moved, number) for number in range(WRITERS)]
        running += [threads.submit(read_until_moved, number) for number in range(3)]
        try:
            for _ in range(MOVES):
                cluster.move(category)
        finally:
            is_moved.set()
        for each in running:
            each.result()

    with Session(cluster.coordinator) as session:
        stored = {
            each.global_position: each.id
            for each in MessageStore(session).iterate_category(category)
        }
    assert len(acknowledged) > 2 * MOVES
    assert list(stored) == list(range(1, len(stored) + 1))
    assert stored == {position: message.id for position, message in acknowledged}
    for positions in seen.values():
        assert positions == list(range(1, len(positions) + 1))
