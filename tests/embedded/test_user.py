from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy

import mdb_sqla
from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError, environment
from mdb_sqla.embedded import binaries as binaries_module

if TYPE_CHECKING:
    from tests.embedded.conftest import Query

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root does")


def unprivileged_user() -> pwd.struct_passwd:
    user = environment.unprivileged_user()
    assert user is not None
    return user


@as_root
def test_root_runs_it_as_an_unprivileged_user(folder: Path, request: pytest.FixtureRequest) -> None:
    (folder / "parent").mkdir(mode=0o711)
    before = (folder / "parent").stat()
    groups = os.getgroups()
    os.setgroups([0])
    request.addfinalizer(lambda: os.setgroups(groups))
    data = folder / "parent" / "data"
    with EmbeddedPostgres(data):
        status = Path("/proc", (data / "postmaster.pid").read_text().split()[0], "status")
        lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        user = unprivileged_user()
        assert set(lines["Uid"].split()) == {str(user.pw_uid)}
        assert set(lines["Gid"].split()) == {str(user.pw_gid)}
        assert not lines["Groups"].strip()
        assert data.stat().st_uid == user.pw_uid
    after = (folder / "parent").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )


@as_root
def test_nobody_will_do(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.getpwnam

    def without_postgres(name: str) -> pwd.struct_passwd:
        if name == "postgres":
            raise KeyError(name)
        return entry(name)

    monkeypatch.setattr(pwd, "getpwnam", without_postgres)
    with EmbeddedPostgres() as server:
        socket = Path(str(server.url().query["host"]), ".s.PGSQL.5432")
        assert socket.stat().st_uid == entry("nobody").pw_uid
        assert query(server.url(), "select 1") == "1"


@as_root
def test_a_data_folder_below_a_closed_one(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    with pytest.raises(
        EmbeddedPostgresError,
        match=rf"^{folder}/closed is not accessible to the user .*a data directory that this user ",
    ):
        EmbeddedPostgres(folder / "closed" / "data").start()
    assert not list((folder / "closed").iterdir())
    assert not list((folder / "tmp").iterdir())


@as_root
def test_binaries_below_a_closed_folder(
    folder: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = folder / "copies"
    monkeypatch.setattr(binaries_module, "_COPIES", copies)
    monkeypatch.setattr(os, "sync", lambda: None)
    package = EmbeddedPostgres()._binaries.parents[1]
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    binaries = closed / package.name / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    for program in ("initdb", "postgres"):
        shutil.copy(package / "pginstall" / "bin" / program, binaries)
    for path in closed.rglob("*"):
        path.chmod(0o700)
    for part in (f"{package.name}/pginstall/lib", f"{package.name}/pginstall/share"):
        (closed / part).symlink_to(package.parent / part)
    (closed / f"{package.name}.libs").symlink_to(package.with_name(f"{package.name}.libs"))
    server = EmbeddedPostgres(binaries=binaries)
    with ThreadPoolExecutor(2) as pool:
        name = f"postgresql-{server.version}"
        first, second = pool.map(lambda _: binaries_module.copied(binaries, name), range(2))
    assert first == second
    (copy,) = copies.iterdir()
    made = copy.stat()
    with server:
        assert query(server.url(), "select 1") == "1"
    assert list(copies.iterdir()) == [copy]
    assert copy.stat() == made
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_an_ordinary_user_runs_it(folder: Path) -> None:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    nobody = pwd.getpwnam("nobody")
    home = folder / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    paths = [str(Path(str(module.__file__)).parents[1]) for module in (mdb_sqla, sqlalchemy)]
    code = (
        "import os, sqlalchemy; from mdb_sqla.embedded import EmbeddedPostgres\n"
        "with EmbeddedPostgres('data') as server:\n"
        "    with sqlalchemy.create_engine(server.url()).connect() as connection:\n"
        "        assert connection.exec_driver_sql('select 1').scalar() == 1\n"
        "print(os.geteuid(), os.stat('data').st_uid, os.listdir(os.environ['TMPDIR']))"
    )
    for interpreter in (sys.executable, shutil.which(name, path=os.defpath)):
        try:
            answer = subprocess.run(
                [str(interpreter), "-c", code],
                cwd=home,
                env={"PYTHONPATH": ":".join(paths), "TMPDIR": str(folder / "tmp")},
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                capture_output=True,
                text=True,
            )
        except (PermissionError, FileNotFoundError):
            continue
        assert (answer.stdout, answer.stderr) == (f"{nobody.pw_uid} {nobody.pw_uid} []\n", "")
        return
    pytest.skip(f"there is no {name} that nobody may run")
