"""Whatever a handler raises is its failure, unless the process or the consumer's task is to end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mdb_sqla import Consumer, HandlerFailed, RetryPolicy, SlotLost
from mdb_sqla.consumers.dead_letter_queue import dead_letters
from mdb_sqla.consumers.handler_errors import current_task, ends_consumer
from tests.consumers.conftest import Application, Effect

FAST = RetryPolicy(max_attempts=2, initial_interval=0.001, max_interval=0.001)


@pytest.fixture(params=["sync", "async", "in flight"])
def make(request: pytest.FixtureRequest, application: Application) -> Any:
    """Makes consumers with a handler that leaves an effect, and then does something else."""
    if request.param != "sync" and not application.flavour.asynchronous:
        pytest.skip("an async handler needs a loop")

    def make(then: Callable[[Any], Any], **arguments: Any) -> Consumer:
        def handle(message: Any, unit: Any) -> None:
            unit.session.add(Effect(number=message.data))
            then(message)

        async def handle_async(message: Any, unit: Any) -> None:
            unit.session.add(Effect(number=message.data))
            await unit.session.flush()
            then(message)

        async def send(message: Any) -> None:
            then(message)
            async with application.factory() as session:
                session.add(Effect(number=message.data))
                await session.commit()

        max_in_flight = 4 if request.param == "in flight" else None
        consumer = Consumer(
            "billing",
            "order",
            retry_policy=FAST,
            max_in_flight=max_in_flight,
            poll_interval=(0.001, 0.01),
            **arguments,
        )
        handlers: dict[str, Any] = {"sync": handle, "async": handle_async, "in flight": send}
        consumer.on("T")(handlers[request.param])
        return consumer

    return make


def cancelled_elsewhere() -> None:
    """Let out what a loop in another thread has cancelled."""

    async def wait() -> None:
        waiting = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(waiting.cancel)
        await waiting

    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(wait())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    raise errors[0]


def raising(error: BaseException) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def test_it_is_the_handlers_failure(
    application: Application, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [
        cancelled_elsewhere,
        raising(GeneratorExit()),
        raising(concurrent.futures.CancelledError()),
        raising(BaseExceptionGroup("two", [asyncio.CancelledError(), ValueError()])),
        raising(ExceptionGroup("one", [ValueError()])),
        raising(TimeoutError()),
        raising(StopIteration()),
        raising(StopAsyncIteration()),
        raising(SlotLost("another", 0)),
    ]
    last = len(failures)
    tried: list[int] = []

    def then(message: Any) -> None:
        tried.append(message.data)
        if message.data < last:
            failures[message.data]()

    for number in range(last + 1):
        application.write(f"order-{number}", number)

    application.catch_up(make(then, on_failure="dead_letter"))

    assert sorted(tried) == sorted([*range(last), *range(last + 1)])
    assert application.effects() == [last]
    assert application.position("billing") == last + 1
    with application.engine.connect() as connection:
        letters = dead_letters(connection, "billing")
    assert [(each.stream_name, each.failed, each.attempts) for each in letters] == [
        (f"order-{number}", True, 2) for number in range(last)
    ]
    logged = [each for each in caplog.records if "could not handle message" in each.getMessage()]
    assert all(each.exc_info for each in logged)
    assert len(logged) >= 2


def test_it_stops_a_consumer_that_has_no_dead_letters(application: Application, make: Any) -> None:
    application.write("order-1", 1)

    with pytest.raises(HandlerFailed, match="after 2 attempts") as raised:
        application.catch_up(make(lambda message: cancelled_elsewhere()))

    cause = raised.value.__cause__
    assert isinstance(cause, RuntimeError)
    assert "the consumer was not cancelled" in str(cause)
    assert isinstance(cause.__cause__, asyncio.CancelledError)
    assert application.effects() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_passes_through(
    application: Application, error: type[BaseException]
) -> None:
    """What was done is rolled back, and no attempt is counted."""
    application.write("order-1", 1)
    consumer = Consumer("billing", "order", retry_policy=FAST, on_failure="dead_letter")
    failures = iter([error()])

    @consumer.on("T")
    def handle(message: Any, unit: Any) -> None:
        unit.session.add(Effect(number=message.data))
        for failure in failures:
            raise failure

    with pytest.raises(error):
        application.catch_up(consumer)

    assert application.effects() == []
    assert application.position("billing") == 0
    assert consumer.state == "stopped"

    application.catch_up(consumer)
    assert application.effects() == [1]


def test_a_task_that_is_cancelled_ends(application: Application, make: Any) -> None:
    if not application.flavour.asynchronous:
        pytest.skip("there is no task")
    application.write("order-1", 1)
    tried: list[int] = []

    async def run() -> None:
        def then(message: Any) -> None:
            tried.append(1)
            if len(tried) == 1:
                task.cancel()
                raise asyncio.CancelledError

        task = asyncio.create_task(make(then).catch_up_async(application.factory))
        with pytest.raises(asyncio.CancelledError):
            await task

    application.flavour.run(run())

    assert tried == [1]
    assert application.effects() == []


def test_a_coroutine_that_is_closed_from_outside_is_no_failure() -> None:
    """As one that is garbage-collected while its task waits."""
    found: list[bool] = []

    async def wait() -> None:
        task = current_task()
        try:
            await asyncio.get_running_loop().create_future()
        except GeneratorExit as error:
            found.append(ends_consumer(error, task))
            raise

    loop = asyncio.new_event_loop()
    coroutine = wait()
    task: Any = loop.create_task(coroutine)
    loop.run_until_complete(asyncio.sleep(0))
    coroutine.close()
    task._log_destroy_pending = False
    loop.close()

    assert found == [True]
