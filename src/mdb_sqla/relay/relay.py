from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from mdb_sqla.column_types import json_serializer
from mdb_sqla.consumers.consumer import Consumer
from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.settings import OnFailure
from mdb_sqla.database.execution import dialect_of
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.relay.broker_target import Target
from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.relay.publisher import Publisher
from mdb_sqla.store.read_arguments import DEFAULT_BATCH_SIZE, CategoryFilters
from mdb_sqla.words.argument_checks import described, instance, name_of, seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
    from typing_extensions import Unpack

__all__ = ["Relay"]

_RETRY_POLICY = RetryPolicy(max_attempts=5, initial_interval=0.1, max_interval=5.0)


class Relay(Consumer):
    """A consumer that publishes messages to a broker, in order, and waits for the confirms.

    The position advances once all messages up to it are confirmed (at-least-once delivery).
    Messages of one cardinal id are published sequentially, others concurrently. While the broker is
    unavailable, the relay retries. A message that the broker rejects counts as failed.

        broker = NatsBroker("nats://localhost")
        relay = Relay("orders", "order", to=JetStream(broker, stream="ORDERS"))
        await relay.run_async(async_sessionmaker(engine))

    A relay is async: use `run_async`, `catch_up_async`, or a `Host` with an `async_sessionmaker`.

    Args:
        name: the name of the consumer.
        categories: the categories to read, in global order; all if none is given.
        to: the target, such as `mdb_sqla.relay.nats.JetStream`. Only this relay may use its broker.
        types: the message types to publish; all if none is given.
        cloud_events: the CloudEvents attributes to add to the headers.
        max_in_flight: the maximum number of messages that are published but not yet covered by the
            saved position.
        timeout: the number of seconds to wait for a confirm, after which the broker is considered
            unavailable.
        start, batch_size, retry_policy, on_failure, poll_interval, group, filters: as for
            `Consumer`. By default, a message that the broker rejects is published five times within
            two seconds.

    Raises:
        InvalidArgument: an argument is invalid.
    """

    def __init__(
        self,
        name: str,
        *categories: str,
        to: Target,
        types: tuple[str, ...] | list[str] = (),
        cloud_events: CloudEvents | None = None,
        max_in_flight: int = 500,
        timeout: float = 10.0,
        start: int | Literal["earliest"] = 1,
        batch_size: int = DEFAULT_BATCH_SIZE,
        retry_policy: RetryPolicy = _RETRY_POLICY,
        on_failure: OnFailure = "stop",
        poll_interval: tuple[float, float] = (0.02, 1.0),
        group: Group | None = None,
        **filters: Unpack[CategoryFilters],
    ) -> None:
        super().__init__(
            name,
            *categories,
            start=start,
            batch_size=batch_size,
            max_in_flight=max_in_flight,
            retry_policy=retry_policy,
            on_failure=on_failure,
            poll_interval=poll_interval,
            group=group,
            **filters,
        )
        if not isinstance(to, Target):
            raise InvalidArgument(
                "to must be a target, such as JetStream(broker, stream=...), "
                f"got {name_of(type(to))}"
            )
        if not isinstance(types, tuple | list):
            raise InvalidArgument(f"types must be a tuple or a list, got {described(types)}")
        if cloud_events is not None:
            instance("cloud_events", cloud_events, CloudEvents)
        self._publisher = Publisher(to, cloud_events, seconds("timeout", timeout))
        self.handlers.add(self._publisher, *types)

    @asynccontextmanager
    async def _open_resources(
        self, factory: async_sessionmaker[AsyncSession]
    ) -> AsyncIterator[None]:
        serialize = json_serializer(dialect_of(factory().sync_session))
        async with self._publisher.publishing(serialize):
            yield
