"""Departures go out to a broker, and what is answered there comes back."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
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
from flights.models import Aircraft, Fees
from mdb_sqla.relay import Relay
from mdb_sqla.relay.nats import JetStream

__all__ = ["NoBroker", "nats_server", "relay_departures"]

_PATIENCE = 30.0  # seconds without a charge
_PATIENCE_AT_FIRST = 5.0  # seconds to connect


class NoBroker(Exception):
    """There is no NATS server."""


@contextmanager
def nats_server() -> Iterator[str]:
    """Start a server of NATS that is gone afterwards; its URL is returned.

    Raises:
        NoBroker: it is not installed, or does not start.
    """
    program = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise NoBroker("nats-server is not installed")
    with TemporaryDirectory() as folder:
        command = [program, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder]
        server = subprocess.Popen([*command, "--ports_file_dir", folder], stderr=subprocess.DEVNULL)
        try:
            yield _address(Path(folder), server.pid)
        finally:
            server.terminate()
            server.wait()


def _address(folder: Path, pid: int) -> str:
    told = folder / f"nats-server_{pid}.ports"
    ready = Retrying(
        retry=retry_if_result(lambda found: not found),
        wait=wait_fixed(0.01),
        stop=stop_after_delay(10),
        retry_error_callback=lambda _: False,
    )
    if not ready(told.exists):
        raise NoBroker("nats-server does not start")
    return str(json.loads(told.read_text())["nats"][0])


async def relay_departures(url: URL, nats: str, progress: Callable[[int, int], object]) -> bool:
    """Relay all departures, have the authority charge for them, and receive what it charges.

    Args:
        url: of the database.
        nats: of the server.
        progress: is told how many departures are charged for, of how many.

    Returns:
        Whether all are; otherwise nothing has come for half a minute.

    Raises:
        NoBroker: no server answers there.
    """
    engine = create_async_engine(url)
    factory = async_sessionmaker(engine)
    try:
        broker = NatsBroker(nats, log_level=logging.DEBUG)
        client = await _connect(broker, nats)
        async with broker:
            # What is there already, it leaves as it is.
            await client.jetstream().add_stream(
                StreamConfig(name="FLIGHTS", subjects=["aircraft.>", "authority.>"])
            )
            charges = _Charges(*(await _charged(factory)), progress)
            receive_charges(broker, factory, charges.add)
            await broker.start()
            async with _running(factory, nats):
                return await charges.all_came()
    finally:
        await engine.dispose()


async def _connect(broker: NatsBroker, nats: str) -> Client:
    try:
        async with asyncio.timeout(_PATIENCE_AT_FIRST):
            return await broker.connect()
    except (TimeoutError, OSError, NatsError) as error:
        raise NoBroker(f"no server of NATS answers at {nats}") from error


class _Charges:
    """How many charges there are."""

    def __init__(self, charged: int, due: int, progress: Callable[[int, int], object]) -> None:
        self._charged = charged
        self._due = due
        self._progress = progress
        self._came = asyncio.Event()

    def add(self) -> None:
        self._charged += 1
        self._progress(self._charged, self._due)
        self._came.set()

    async def all_came(self) -> bool:
        while self._charged < self._due:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), _PATIENCE)
            except TimeoutError:
                return False
        return True


@asynccontextmanager
async def _running(factory: async_sessionmaker[AsyncSession], nats: str) -> AsyncIterator[None]:
    """Run a relay as a task, and the authority as the process that it is."""
    relay = Relay(
        "departures",
        "aircraft",
        types=["Departed"],
        to=JetStream(NatsBroker(nats), stream="FLIGHTS"),
    )
    authority = subprocess.Popen(
        [sys.executable, "-m", "flights.authority"],
        env={**os.environ, "FLIGHTS_NATS_URL": nats},
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(relay.run_async(factory))
            yield
            # Not stop(), which does not reach what has yet to begin; and all that went out has been
            # answered.
            running.cancel()
    finally:
        authority.terminate()
        authority.wait()


async def _charged(factory: async_sessionmaker[AsyncSession]) -> tuple[int, int]:
    """Return how many departures are charged for, and how many there are."""
    async with factory() as session:
        charged = await session.scalar(select(func.coalesce(func.sum(Fees.departures), 0)))
        due = await session.scalar(select(func.coalesce(func.sum(Aircraft.departed), 0)))
    return charged or 0, due or 0
