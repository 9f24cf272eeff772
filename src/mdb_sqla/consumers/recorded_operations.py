"""Spans and metrics of consumers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

from mdb_sqla.consumers.batch_read import Batch
from mdb_sqla.consumers.loop_operations import Deliver, Failure, Handle
from mdb_sqla.consumers.loop_operations import Operation as LoopOperation
from mdb_sqla.telemetry import (
    NOT_RECORDED,
    PROCESS,
    READ,
    Instrumentation,
    NotRecorded,
    Operation,
    carrier_of,
    extracted,
    instrumentation,
)
from mdb_sqla.telemetry.attributes import (
    CONVERSATION_ID,
    GLOBAL_POSITION,
    MESSAGE_ID,
    MESSAGE_TYPE,
    STREAM_NAME,
)
from mdb_sqla.telemetry.instruments import Instruments
from mdb_sqla.words.message import StoredMessage

__all__ = ["count_dead_letters", "count_failure", "count_retry", "process", "recorded_read"]

_FAILED = "mdb_sqla.consumer.failed.messages"
_RETRIED = "mdb_sqla.consumer.retried.messages"
_DEAD_LETTERED = "mdb_sqla.consumer.dead_lettered.messages"


def process(
    found: Instrumentation | None, consumer: str, message: StoredMessage
) -> Operation | NotRecorded:
    """Return the operation of a handler's call, whose parent is the span that wrote the message."""
    if found is None:
        return NOT_RECORDED
    numbers = {_category(message): 1}
    if found.tracer is None:
        return Operation(found, PROCESS, numbers, consumer=consumer)
    from opentelemetry.context import get_current

    parent = extracted(carrier_of(message.metadata))
    return Operation(
        found,
        PROCESS,
        numbers,
        consumer=consumer,
        parent=parent,
        links=() if parent is None else (parent, get_current()),
        attributes=_attributes(message),
    )


def recorded_read(
    operations: Generator[LoopOperation, Any, Batch], consumer: str
) -> Generator[LoopOperation, Any, Batch]:
    """Read a batch with operations of the loop."""
    started = perf_counter()
    result = yield from operations
    messages = result.messages
    # Idle polls would hide how long other reads take.
    if messages and (instruments := _instruments()) is not None:
        seconds = perf_counter() - started
        numbers = _numbers(messages)
        instruments.measure(READ, seconds, numbers, consumer=consumer, server=result.server)
    return result


def count_failure(consumer: str, message: StoredMessage, error: BaseException) -> None:
    """Count a failed attempt to handle a message."""
    if (instruments := _instruments()) is not None:
        instruments.count(_FAILED, _numbers([message]), consumer=consumer, error=error)


def count_retry(consumer: str, operation: Handle | Deliver) -> None:
    """Count the failed messages of an operation that is about to be repeated."""
    if (instruments := _instruments()) is not None:
        failures = operation.failures.values() if isinstance(operation, Deliver) else ()
        failed = [failure.message for failure in failures]
        current = operation.current or operation.calls[0][1]
        instruments.count(_RETRIED, _numbers(failed or [current]), consumer=consumer)


def count_dead_letters(
    consumer: str, failures: Sequence[Failure], blocked: Sequence[StoredMessage]
) -> None:
    """Count messages that were dead-lettered: those that failed, and all in their streams."""
    if (failures or blocked) and (instruments := _instruments()) is not None:
        failed: set[int] = set()
        for message, error, _ in failures:
            failed.add(message.global_position)
            instruments.count(_DEAD_LETTERED, _numbers([message]), consumer=consumer, error=error)
        waiting = [message for message in blocked if message.global_position not in failed]
        instruments.count(_DEAD_LETTERED, _numbers(waiting), consumer=consumer)


def _instruments() -> Instruments | None:
    found = instrumentation()
    return None if found is None else found.instruments


def _numbers(messages: Iterable[StoredMessage]) -> Counter[str]:
    return Counter(map(_category, messages))


def _category(message: StoredMessage) -> str:
    # Accepts any stored name, such as `-7`, which another client may have written.
    return message.stream_name.partition("-")[0]


def _attributes(message: StoredMessage) -> dict[str, Any]:
    attributes = {
        MESSAGE_ID: str(message.id),
        MESSAGE_TYPE: message.type,
        STREAM_NAME: message.stream_name,
        GLOBAL_POSITION: message.global_position,
    }
    # Other clients may write any JSON as metadata.
    metadata: Any = message.metadata
    correlation = metadata.get("correlationStreamName") if isinstance(metadata, Mapping) else None
    if isinstance(correlation, str):
        attributes[CONVERSATION_ID] = correlation
    return attributes
