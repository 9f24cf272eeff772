"""The workers that fill the table of a version: threads, or processes."""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import sessionmaker

from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.projections.consumer_batch import consumer_of
from mdb_sqla.projections.definition import ProjectionDefinition
from mdb_sqla.store.read_arguments import CategoryFilters
from mdb_sqla.store.standbys import Standbys
from mdb_sqla.words.argument_checks import described, instance

__all__ = ["Part", "check_where", "fill_in_processes", "fill_in_threads"]

_BATCH_SIZE = 5000  # messages
_CHECK_INTERVAL = 0.2  # seconds; a thread that waits indefinitely doesn't handle signals

_Progress = Callable[[int], object]


@dataclass(frozen=True)
class Part:
    """The part of a worker: the messages of one slot of several.

    Attributes:
        slot: the slot.
        slots: the number of slots.
        start: see `rebuild`.
    """

    slot: int
    slots: int
    start: int | Literal["earliest"]

    def consumer(
        self,
        projection: ProjectionDefinition[Any],
        read_from: Standbys | None,
        applied: Callable[[int], object],
    ) -> Consumer:
        """Return the consumer of a worker."""
        filters: CategoryFilters = {}
        if self.slots > 1:
            filters = {"consumer_group_member": self.slot, "consumer_group_size": self.slots}
        return consumer_of(
            projection,
            start=self.start,
            batch_size=_BATCH_SIZE,
            # A handler computes the same from the same messages each time.
            retry_policy=RetryPolicy(max_attempts=1),
            read_from=read_from,
            applied=applied,
            filters=filters,
        )


def fill_in_threads(
    engine: Engine,
    projection: ProjectionDefinition[Any],
    parts: Iterable[Part],
    read_from: Standbys | None,
    progress: _Progress,
) -> None:
    """Run a worker for each part in a thread, until all have caught up, or one has failed."""
    lock, total = threading.Lock(), 0
    errors: list[BaseException] = []

    def applied(number: int) -> None:
        nonlocal total
        with lock:
            total += number
            progress(total)

    def stop(error: BaseException) -> None:
        errors.append(error)
        for each in consumers:
            each.stop()

    def catch_up(consumer: Consumer) -> None:
        try:
            consumer._run(factory, endless=False, is_stopping=lambda: bool(errors))
        except BaseException as error:
            stop(error)

    factory = sessionmaker(engine)
    consumers = [part.consumer(projection, read_from, applied) for part in parts]
    threads = [threading.Thread(target=catch_up, args=(each,)) for each in consumers]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(_CHECK_INTERVAL)
    except BaseException as error:
        stop(error)
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise errors[0]


def check_where(where: str, projection: ProjectionDefinition[Any]) -> None:
    """Check that a name is that of a projection's definition.

    Raises:
        InvalidArgument: it is not.
    """
    found = _loaded(where)
    if (found.name, found.version) != (projection.name, projection.version):
        raise InvalidArgument(
            f"where must be the module and name of version {projection.version} of projection "
            f"{projection.name!r}, but {where} is version {found.version} of {found.name!r}"
        )


def _loaded(where: str) -> ProjectionDefinition[Any]:
    module, _, name = where.partition(":")
    try:
        found = attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidArgument(
            f"where must be a module and the name of a projection in it, such as "
            f"'shop.projections:totals', got {described(where)}: {error}"
        ) from error
    return instance("where", found, ProjectionDefinition)


@dataclass(frozen=True)
class _Address:
    """Where a process connects. Unlike an engine, it can be passed to one.

    Attributes:
        url: the URL, with the password.
        options: the execution options of the engine.
    """

    url: str = field(repr=False)
    options: dict[str, Any]

    @classmethod
    def of(cls, engine: Engine) -> _Address:
        """Return the address of an engine."""
        url = engine.url.render_as_string(hide_password=False)
        return cls(url, dict(engine.get_execution_options()))

    def engine(self) -> Engine:
        """Return an engine that connects to it."""
        # A transaction pooler shares prepared statements with other processes.
        is_psycopg = self.url.startswith("postgresql+psycopg:")
        connect_args = {"prepare_threshold": None} if is_psycopg else {}
        return create_engine(self.url, execution_options=self.options, connect_args=connect_args)


def fill_in_processes(
    engine: Engine,
    where: str,
    parts: Iterable[Part],
    read_from: Standbys | None,
    progress: _Progress,
) -> None:
    """Run a worker for each part in a process, until all have caught up, or one has failed."""
    # A forked process could have inherited locks that a thread of this one holds.
    context = multiprocessing.get_context("spawn")
    counter, stopping = context.Value("q"), context.Event()
    primary, standbys, max_wait = _Address.of(engine), [], 0.0
    if read_from is not None:
        standbys, max_wait = [*map(_Address.of, read_from.engines)], read_from.max_wait
    jobs = list(parts)
    with ProcessPoolExecutor(
        len(jobs), mp_context=context, initializer=_begin, initargs=(counter, stopping)
    ) as executor:
        futures = [
            executor.submit(_work, primary, standbys, max_wait, where, part) for part in jobs
        ]
        try:
            running: Any = futures
            while running:
                done, running = wait(running, _CHECK_INTERVAL, return_when=FIRST_EXCEPTION)
                progress(counter.value)
                for future in done:
                    future.result()
        finally:
            # Only has an effect after an error or an interrupt.
            stopping.set()


# Of a worker process.
_counter: Any = None
_stopping: Any = None


def _begin(counter: Any, stopping: Any) -> None:
    global _counter, _stopping
    _counter, _stopping = counter, stopping
    # Ctrl-C also interrupts the process that started this one, which then stops it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(
    primary: _Address, standbys: list[_Address], max_wait: float, where: str, part: Part
) -> None:
    def applied(number: int) -> None:
        with _counter.get_lock():
            _counter.value += number
        if _stopping.is_set():
            consumer.stop()

    engines = [address.engine() for address in (primary, *standbys)]
    read_from = Standbys(*engines[1:], max_wait=max_wait) if standbys else None
    consumer = part.consumer(_loaded(where), read_from, applied)
    consumer.catch_up(sessionmaker(engines[0]))
    for engine in engines:
        engine.dispose()
