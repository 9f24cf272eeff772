from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from mdb_sqla.consumers.handler_errors import current_task, ends_consumer
from mdb_sqla.errors import BrokerRejected, Unavailable
from mdb_sqla.relay.broker_target import Target
from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.relay.envelope import enveloped
from mdb_sqla.words.argument_checks import plain
from mdb_sqla.words.message import StoredMessage

__all__ = ["Publisher"]


class Publisher:
    """A handler that publishes a message, and returns when that is confirmed.

    Args:
        target: where to.
        cloud_events: whether to add their attributes.
        timeout: for how many seconds to wait for a confirm.
    """

    def __init__(self, target: Target, cloud_events: CloudEvents | None, timeout: float) -> None:
        self._target = target
        self._cloud_events = cloud_events
        self._timeout = timeout
        self._serialize: Callable[[Any], str] = json.dumps
        self._connecting: asyncio.Task[None] | None = None
        self.__qualname__ = target.name  # what is shown as the handler

    @contextlib.asynccontextmanager
    async def publishing(self, serialize: Callable[[Any], str]) -> AsyncIterator[None]:
        """Publish within this, and disconnect in the end.

        Args:
            serialize: the engine's JSON serializer, which has written the data once.
        """
        self._serialize = serialize
        try:
            yield
        finally:
            await self._close()

    async def __call__(self, message: StoredMessage) -> None:
        """Publish a message.

        Raises:
            BrokerRejected: it could not be published, for its own sake.
            Unavailable: the broker is away.
        """
        destination = self._target.destination(message)
        if not isinstance(destination, str) or not destination:
            raise BrokerRejected(message, f"its destination is {destination!r}")
        destination = plain(destination)
        envelope = enveloped(message, self._serialize, self._cloud_events)
        task = current_task()
        # Whatever is not the message's own fault is taken for an outage.
        try:
            if self._connecting is None or not self._connecting.done():
                await self._connected()
            await self._target.publish(destination, envelope, self._timeout)
        except BrokerRejected:
            raise
        except BaseException as error:
            if ends_consumer(error, task):
                raise
            # Clients cancel what they wait for, too, where a connection is lost. It is to be
            # connected before the next attempt, should that be what is missing.
            self._connecting = None
            is_late = isinstance(error, TimeoutError)
            what = (
                " has not answered in time"
                if is_late
                else f": {str(error) or type(error).__name__}"
            )
            raise Unavailable(f"{self._target.name}{what}") from error

    async def _connected(self) -> None:
        """Connect when first needed; all who publish meanwhile wait for the same attempt."""
        connecting = self._connecting
        if connecting is None:
            connecting = self._connecting = asyncio.create_task(self._connect())
        # Whoever no longer waits leaves the others their attempt.
        await asyncio.shield(connecting)

    async def _connect(self) -> None:
        try:
            await self._target.connect(self._timeout)
        except BaseException:
            # What was begun would go on, beside the attempts that come after it.
            try:
                await self._close_target()
            finally:
                self._connecting = None
            raise

    async def _close(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        await self._close_target()

    async def _close_target(self) -> None:
        # What is closed may be broken.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._timeout):
                await self._target.close()
