"""Whether a store of ten million messages does everything about as fast as one of a million."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from random import Random
from time import perf_counter
from uuid import uuid4

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import sessionmaker

from benchmarks.client import connect
from benchmarks.comparison import OURS, Bar, Comparison, Experiment
from benchmarks.content import DATA, METADATA, TYPE
from benchmarks.server import Server
from benchmarks.size import Size
from mdb_sqla import Consumer, Message, MessageStore, retention
from mdb_sqla.admin.store_summary import summary
from mdb_sqla.admin.verification import verify

__all__ = ["large_store"]

_PER_CATEGORY = 10_000
_BATCH = 1_000
_TARGET = 1 / 1.3

# In the server alone: the time of a client would hide a difference. Ids are ordered by time, as
# those of `Message` are; the streams are not.
_WRITES = """
    DO $$
    BEGIN
      FOR n IN 1..{number} LOOP
        PERFORM message_store.write_message(
          uuidv7()::text, 'written-' || gen_random_uuid(), 'Placed', '{{"total": 120.5}}'
        );
      END LOOP;
    END
    $$
"""


@dataclass(frozen=True)
class _Store:
    """A store with 10,000 messages in each category, ten in each stream.

    Categories of the first half are read, those of the second half are deleted, from the end.
    """

    engine: Engine
    messages: int
    size: Size
    random: Random = field(default_factory=lambda: Random(10))
    numbers: count[int] = field(default_factory=count)

    @property
    def categories(self) -> int:
        return self.messages // _PER_CATEGORY

    def category(self) -> str:
        return f"category{self.random.randrange(self.categories // 2)}"


def _writes(store: _Store) -> float:
    number = store.size.writes * 10
    with connect(store.engine.url) as connection:
        begin = perf_counter()
        connection.execute(_WRITES.format(number=number).encode())
        return number / (perf_counter() - begin)


def _batches(store: _Store) -> float:
    number = store.size.batches
    batches = [[Message(TYPE, DATA, METADATA) for _ in range(_BATCH)] for _ in range(number)]
    begin = perf_counter()
    for messages in batches:
        with store.engine.begin() as connection:
            MessageStore(connection).write(f"written-{uuid4()}", messages)
    return number * _BATCH / (perf_counter() - begin)


def _category_reads(store: _Store) -> float:
    begin = perf_counter()
    for _ in range(store.size.reads):
        position = store.random.randrange(store.messages // 2)
        with store.engine.connect() as connection:
            found = MessageStore(connection).read_category(store.category(), position, _BATCH)
        assert len(found) == _BATCH
    return store.size.reads * _BATCH / (perf_counter() - begin)


def _stream_reads(store: _Store) -> float:
    number = store.size.reads * 10
    begin = perf_counter()
    with store.engine.connect() as connection:
        for _ in range(number):
            stream = f"{store.category()}-{store.random.randrange(_PER_CATEGORY // 10)}"
            assert len(MessageStore(connection).read_stream(stream)) == 10
    return number / (perf_counter() - begin)


def _consumer(store: _Store) -> float:
    consumer = Consumer(
        f"consumer-{next(store.numbers)}", store.category(), transaction_size=_BATCH
    )
    handled = 0

    @consumer.on(TYPE)
    def handle(message: object, unit: object) -> None:
        nonlocal handled
        handled += 1

    begin = perf_counter()
    consumer.catch_up(sessionmaker(store.engine))
    assert handled == _PER_CATEGORY
    return handled / (perf_counter() - begin)


def _summary(store: _Store) -> float:
    begin = perf_counter()
    with store.engine.connect() as connection:
        summary(connection)
    return 1 / (perf_counter() - begin)


def _verify(store: _Store) -> float:
    begin = perf_counter()
    assert verify(store.engine).is_sound
    return store.messages / (perf_counter() - begin)


def _retention(store: _Store) -> float:
    with store.engine.begin() as connection:
        category = f"category{store.categories - 1 - len(retention.policies(connection))}"
        retention.set_policy(connection, category, keep_age=timedelta(microseconds=1))
    begin = perf_counter()
    deleted = sum(each.messages for each in retention.run(store.engine))
    assert deleted == _PER_CATEGORY
    return deleted / (perf_counter() - begin)


_WORK: Sequence[tuple[str, str, Callable[[_Store], float]]] = [
    ("writes", "messages/s", _writes),
    ("batches of 1,000", "messages/s", _batches),
    ("category reads", "messages/s", _category_reads),
    ("stream reads", "reads/s", _stream_reads),
    ("consumer", "messages/s", _consumer),
    ("summary", "summaries/s", _summary),
    ("verification", "messages/s", _verify),
    ("deletion by a retention policy", "messages/s", _retention),
]


def large_store() -> Iterator[Experiment]:
    """Return an experiment for each kind of work."""
    for what, unit, work in _WORK:
        yield _experiment(what, unit, work)


def _experiment(what: str, unit: str, work: Callable[[_Store], float]) -> Experiment:
    @contextmanager
    def experiment(server: Server, size: Size) -> Iterator[Comparison]:
        with ExitStack() as stack:

            def side(messages: int) -> Callable[[], float]:
                url = server.filled(messages, messages // _PER_CATEGORY)
                engine = create_engine(url)
                stack.callback(engine.dispose)
                return partial(work, _Store(engine, messages, size))

            smaller = f"{size.some:,} messages"
            yield Comparison(
                f"{size.many:,} messages: {what}",
                unit,
                {OURS: side(size.many), smaller: side(size.some)},
                [Bar("", smaller, _TARGET)],
            )

    experiment.__name__ = f"large_store_{work.__name__[1:]}"
    return experiment
