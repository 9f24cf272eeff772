from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mdb_sqla.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.embedded.conftest import Eventually, Query

    Child = Callable[[str], subprocess.Popen[str]]

POSTMASTER = """
def postmaster(server):
    import sqlalchemy
    engine = sqlalchemy.create_engine(server.url(), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        data = connection.exec_driver_sql("show data_directory").scalar()
    return open(f"{data}/postmaster.pid").readline()
"""


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" in status.read_text()


def test_a_killed_process_leaves_nothing(
    folder: Path, child: Child, eventually: Eventually
) -> None:
    process = child(
        POSTMASTER
        + "server = EmbeddedPostgres().start(); print(postmaster(server), flush=True); input()"
    )
    postmaster = int(line(process.stdout))
    process.kill()
    eventually(lambda: is_gone(postmaster))
    eventually(lambda: not list((folder / "tmp").iterdir()))


def test_a_stopped_service_leaves_nothing(
    folder: Path, cluster: Path, child: Child, eventually: Eventually
) -> None:
    process = child("EmbeddedPostgres(cluster).start(); print('started', flush=True); input()")
    assert line(process.stdout) == "started"
    postmaster = int((cluster / "postmaster.pid").read_text().split()[0])
    assert os.getpgid(postmaster) == postmaster
    os.killpg(postmaster, signal.SIGTERM)  # whoever stops a service sends it to every process
    process.terminate()
    eventually(lambda: not list((folder / "tmp").iterdir()))


def test_what_a_killed_process_committed_is_there_at_once(
    cluster: Path, child: Child, query: Query
) -> None:
    # The archiver's command makes the killed process's server slow to shut down.
    process = child(
        "slow = {'archive_mode': 'on', 'archive_command': 'sleep 1'}\n"
        "print(EmbeddedPostgres(cluster, settings=slow).start().url(), flush=True); input()"
    )
    url = line(process.stdout)
    query(url, "create table kept as select 42 as answer")
    query(url, "select pg_switch_wal()")
    process.kill()
    with EmbeddedPostgres(cluster) as server:
        assert query(server.url(), "select answer from kept") == "42"


def test_a_process_killed_in_initdb_leaves_no_half_cluster(
    folder: Path, child: Child, eventually: Eventually, query: Query
) -> None:
    process = child(
        "EmbeddedPostgres(folder + '/data').start(); print('finished', flush=True); input()"
    )
    folder.chmod(0o1777)  # for the server's user to remove its own
    eventually(lambda: bool(list(folder.glob(".data-*/PG_VERSION"))))
    process.kill()
    assert line(process.stdout) == ""
    eventually(lambda: not list(folder.glob(".data-*")))
    assert not (folder / "data").exists()
    with EmbeddedPostgres(folder / "data") as server:
        assert query(server.url(), "select 1") == "1"


def test_it_stops_when_the_process_exits(folder: Path, child: Child) -> None:
    process = child(
        POSTMASTER + "server = EmbeddedPostgres().start(); print(postmaster(server)); sys.exit(3)"
    )
    postmaster = int(line(process.stdout))
    assert process.wait() == 3
    assert is_gone(postmaster)
    assert not list((folder / "tmp").iterdir())


def test_it_survives_the_thread_that_started_it(folder: Path, child: Child, query: Query) -> None:
    process = child(
        "server = EmbeddedPostgres(cluster)\n"
        "thread = threading.Thread(target=server.start); thread.start(); thread.join()\n"
        "print(server.url(), flush=True); input(); server.stop(); print('stopped', flush=True)"
    )
    assert query(line(process.stdout), "select 1") == "1"
    process.communicate("\n")
    assert not list((folder / "tmp").iterdir())


def test_it_survives_an_interrupt_from_the_terminal(child: Child, query: Query) -> None:
    process = child(
        "import signal; os.setpgid(0, 0); signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "print(EmbeddedPostgres(cluster).start().url(), flush=True); input()"
    )
    url = line(process.stdout)
    os.killpg(process.pid, signal.SIGINT)
    assert query(url, "select 1") == "1"


def test_a_fork_neither_stops_it_nor_keeps_it(
    folder: Path, child: Child, eventually: Eventually, query: Query
) -> None:
    process = child(
        "server = EmbeddedPostgres(cluster).start()\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait()\n"
        "lingering = os.fork()\n"
        "if not lingering: threading.Event().wait(60); os._exit(0)\n"
        "print(server.url(), lingering, sep='\\n', flush=True); input()"
    )
    url, lingering = line(process.stdout), int(line(process.stdout))
    try:
        assert query(url, "select 1") == "1"
        process.kill()
        eventually(lambda: not list((folder / "tmp").iterdir()))
    finally:
        os.kill(lingering, signal.SIGKILL)
