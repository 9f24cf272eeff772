from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy import Engine, text
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from mdb_sqla.embedded import EmbeddedPostgres
from tests.folders import open_folder

SETTINGS = {"fsync": "off", "hot_standby_feedback": "on"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@contextmanager
def replicating(
    request: pytest.FixtureRequest,
    folder: Path,
    of_primary: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    """Run a primary server and its standby, which receives what the primary writes."""
    where = request.config.getoption("--postgres")
    if where == "docker":
        pytest.skip("Needs PostgreSQL's programs, to start two servers")
    binaries = Path(where) if where else None
    with EmbeddedPostgres(folder / "primary", binaries=binaries, settings=SETTINGS):
        pass
    shutil.copytree(folder / "primary", folder / "standby")
    owner = (folder / "primary").stat()
    for path in [folder / "standby", *(folder / "standby").rglob("*")]:
        shutil.chown(path, owner.st_uid, owner.st_gid)
    signal = folder / "standby" / "standby.signal"
    signal.touch()
    shutil.chown(signal, owner.st_uid, owner.st_gid)
    settings = {**SETTINGS, **of_primary}
    with EmbeddedPostgres(folder / "primary", binaries=binaries, settings=settings) as primary:
        url = primary.url()
        conninfo = f"host={url.query['host']} port={url.port or 5432} user={url.username}"
        settings = {**SETTINGS, "primary_conninfo": conninfo}
        with EmbeddedPostgres(folder / "standby", binaries=binaries, settings=settings) as standby:
            yield primary, standby


def replayed(primary: Engine, standby: Engine) -> Callable[[], None]:
    """Return what waits until the standby has replayed all that the primary has done so far."""

    def wait() -> None:
        with primary.connect() as connection:
            position = connection.scalar(text("SELECT pg_current_wal_insert_lsn()"))

        @retry(
            retry=retry_if_result(lambda replayed: not replayed),
            stop=stop_after_delay(30),
            wait=wait_fixed(0.01),
        )
        def is_replayed() -> bool:
            with standby.connect() as connection:
                return bool(
                    connection.scalar(
                        text("SELECT pg_last_wal_replay_lsn() >= :position"),
                        {"position": position},
                    )
                )

        is_replayed()

    return wait
