from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from mdb_sqla.consumers.handler_errors import current_task, ends_consumer
from mdb_sqla.errors import BrokerRejected, Unavailable
from mdb_sqla.relay.broker_target import Target
from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.relay.envelope import Envelope, enveloped
from mdb_sqla.relay.operations import publication
from mdb_sqla.telemetry import injected
from mdb_sqla.words.argument_checks import plain
from mdb_sqla.words.message import StoredMessage

__all__ = ["Publisher"]


class Publisher:
    """A handler that publishes a message and waits for the confirm.

    Args:
        target: the target to publish to.
        cloud_events: the CloudEvents attributes to add, if any.
        timeout: the number of seconds to wait for a confirm.
    """

    def __init__(self, target: Target, cloud_events: CloudEvents | None, timeout: float) -> None:
        self._target = target
        self._cloud_events = cloud_events
        self._timeout = timeout
        self._serialize: Callable[[Any], str] = json.dumps
        self._connecting: asyncio.Task[None] | None = None
        self._context = contextvars.Context()
        self.__qualname__ = target.name  # shown as the name of the handler

    @contextlib.asynccontextmanager
    async def publishing(self, serialize: Callable[[Any], str]) -> AsyncIterator[None]:
        """Allow publishing within the block, and disconnect at the end.

        Args:
            serialize: the engine's JSON serializer.
        """
        self._serialize = serialize
        self._context = contextvars.copy_context()
        try:
            yield
        finally:
            await self._close()

    async def __call__(self, message: StoredMessage) -> None:
        """Publish a message.

        Raises:
            BrokerRejected: the broker rejected the message because of its content.
            Unavailable: the broker is unavailable.
        """
        destination = self._target.destination(message)
        if not isinstance(destination, str) or not destination:
            raise BrokerRejected(
                message, f"its destination must be a non-empty string, got {destination!r}"
            )
        destination = plain(destination)
        with publication(self._target, destination, message) as recorded:
            context = None if recorded is None else recorded.context
            trace_context = None if context is None else injected(context)
            envelope = enveloped(message, self._serialize, self._cloud_events, trace_context)
            await self._publish(destination, envelope)

    async def _publish(self, destination: str, envelope: Envelope) -> None:
        task = current_task()
        # Any error other than a rejection is treated as an outage.
        try:
            if self._connecting is None or not self._connecting.done():
                await self._connected()
            await self._target.publish(destination, envelope, self._timeout)
        except BrokerRejected:
            raise
        except BaseException as error:
            if ends_consumer(error, task):
                raise
            # Includes CancelledError: clients cancel futures when a connection is lost. The next
            # attempt reconnects first.
            self._connecting = None
            what = (
                f"no confirm within {self._timeout:g} s"
                if isinstance(error, TimeoutError)
                else str(error) or type(error).__name__
            )
            raise Unavailable(f"{self._target.name}: {what}") from error

    async def _connected(self) -> None:
        """Connect on first use. Concurrent calls wait for the same attempt."""
        connecting = self._connecting
        if connecting is None:
            # Not in the context of a message: the tasks of the client would keep its span.
            context = self._context.copy()
            connecting = asyncio.create_task(self._connect(), context=context)
            self._connecting = connecting
        # Cancelling one of the callers must not cancel the attempt of the others.
        await asyncio.shield(connecting)

    async def _connect(self) -> None:
        try:
            await self._target.connect(self._timeout)
        except BaseException:
            # The failed attempt could otherwise continue in parallel with later ones.
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
        # The connection may be broken.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._timeout):
                await self._target.close()
