"""A relay that publishes departures to a broker, and an inbox for the answers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from sqlalchemy import URL, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flights.billing import receive_charges
from flights.child_process import child_process
from flights.models import Aircraft, Fees
from mdb_sqla.relay import Relay
from mdb_sqla.relay.nats import JetStream

__all__ = ["NoBroker", "nats_server", "relay_departures"]

_PATIENCE = 30.0  # seconds without a charge
_CONNECT_TIMEOUT = 5.0  # seconds
_START_TIMEOUT = 10.0  # seconds

# Standard input is closed when this process ends, however it ends. Ctrl-C interrupts only this
# process, which stops the server.
_UNTIL_END_OF_INPUT = '"$@" & read _; kill $!; wait'


class NoBroker(Exception):
    """No NATS server is available."""


@contextmanager
def nats_server() -> Iterator[str]:
    """Start a temporary NATS server, and return its URL.

    Raises:
        NoBroker: it is not installed, or does not start.
    """
    program = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise NoBroker("nats-server is not installed")
    with TemporaryDirectory() as folder:
        options = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder, "--ports_file_dir", folder]
        server = subprocess.Popen(
            ["sh", "-c", _UNTIL_END_OF_INPUT, "sh", program, *options],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield _address(Path(folder))
        finally:
            server.communicate()


def _address(folder: Path) -> str:
    find_ports = Retrying(
        retry=retry_if_result(lambda found: not found),
        wait=wait_fixed(0.01),
        stop=stop_after_delay(_START_TIMEOUT),
        retry_error_callback=lambda _: [],
    )
    for ports in find_ports(lambda: list(folder.glob("*.ports"))):
        return str(json.loads(ports.read_text())["nats"][0])
    raise NoBroker("nats-server does not start")


async def relay_departures(url: URL, nats: str, progress: Callable[[int, int], object]) -> bool:
    """Publish all departures, and receive the charge for each of them from the authority.

    Args:
        url: the database.
        nats: the URL of the NATS server.
        progress: called with the number of departures charged, and the number of all departures.

    Returns:
        Whether all are charged; otherwise no charge has arrived for half a minute.

    Raises:
        NoBroker: the server can't be reached.
    """
    engine = create_async_engine(url)
    factory = async_sessionmaker(engine)
    try:
        broker = NatsBroker(nats, logger=logging.getLogger(__name__))
        client = await _connect(broker, nats)
        async with broker:
            # Does nothing if the stream exists.
            await client.jetstream().add_stream(
                StreamConfig(name="FLIGHTS", subjects=["aircraft.>", "authority.>"])
            )
            charges = _Charges(*(await _progress(factory)), progress)
            receive_charges(broker, factory, charges.add)
            await broker.start()
            async with _running(factory, nats):
                return await charges.all_arrived()
    finally:
        await engine.dispose()


async def _connect(broker: NatsBroker, nats: str) -> Client:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            return await broker.connect()
    except (TimeoutError, OSError, NatsError) as error:
        raise NoBroker(f"no NATS server answers at {nats}") from error


class _Charges:
    """Counts charges as they arrive."""

    def __init__(self, charged: int, due: int, progress: Callable[[int, int], object]) -> None:
        self._charged = charged
        self._due = due
        self._progress = progress
        self._arrived = asyncio.Event()

    def add(self) -> None:
        self._charged += 1
        self._progress(self._charged, self._due)
        self._arrived.set()

    async def all_arrived(self) -> bool:
        while self._charged < self._due:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), _PATIENCE)
            except TimeoutError:
                return False
        return True


@asynccontextmanager
async def _running(factory: async_sessionmaker[AsyncSession], nats: str) -> AsyncIterator[None]:
    """Run the relay in a task, and the authority in a process."""
    relay = Relay(
        "departures",
        "aircraft",
        types=["Departed"],
        to=JetStream(NatsBroker(nats), stream="FLIGHTS"),
    )
    with child_process("flights.authority", FLIGHTS_NATS_URL=nats):
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(relay.run_async(factory))
            yield
            # stop() has no effect on a relay that has yet to start. All departures are answered.
            running.cancel()


async def _progress(factory: async_sessionmaker[AsyncSession]) -> tuple[int, int]:
    """Return the number of departures charged, and the number of all departures."""
    async with factory() as session:
        charged = await session.scalar(select(func.coalesce(func.sum(Fees.departures), 0)))
        due = await session.scalar(select(func.coalesce(func.sum(Aircraft.departed), 0)))
    return charged or 0, due or 0
