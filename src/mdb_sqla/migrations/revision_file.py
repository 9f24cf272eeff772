"""Writes the revision with which an application's migration history installs the store."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError, rev_id

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.migrations.store_history import LATEST
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["write_revision"]


def write_revision(
    ini: Path,
    message: str,
    *,
    roles: bool = False,
    lock_granularity: LockGranularity | None = None,
) -> Path:
    """Write a revision that follows the head of an application's history, and return its path.

    Args:
        ini: the application's `alembic.ini`; a `pyproject.toml` in the same folder is read too.
        message: the message of the revision, which also becomes part of the file name.
        roles: whether the revision creates the roles too.
        lock_granularity: what writers lock in a new store; None for the default.

    Raises:
        InvalidArgument: Alembic is not configured, the history has several heads, or the template
            has no place for upgrades and downgrades.
    """
    toml = ini.parent / "pyproject.toml"
    if not ini.is_file() and not toml.is_file():
        raise InvalidArgument(
            f"Alembic is not configured: there is no {ini}, and no {toml} with a section "
            "[tool.alembic]"
        )
    upgrade, downgrade = [f'"{LATEST}"'], ['"base"']
    if roles:
        upgrade.append("roles=True")
        downgrade.append("roles=True")
    if lock_granularity is not None:
        upgrade.append(f'lock_granularity="{lock_granularity}"')
    call = f"migrations.upgrade({', '.join(upgrade)})"
    try:
        options = Config(ini, toml_file=toml, cmd_opts=Namespace(quiet=True))
        script = ScriptDirectory.from_config(options).generate_revision(
            rev_id(),
            message,
            config=options,
            imports="from mdb_sqla import migrations",
            upgrades=call,
            downgrades=f"migrations.downgrade({', '.join(downgrade)})",
        )
    except CommandError as error:
        raise InvalidArgument(f"Alembic can't write the revision: {error}") from error
    assert script is not None  # noqa: S101 (the revision that was just written)
    path = Path(script.path)
    if call not in path.read_text(encoding="utf-8"):
        path.unlink()
        raise InvalidArgument(
            "The template script.py.mako has no place for upgrades, like Alembic's template for "
            f"several databases. Create a revision with alembic revision, and call {call} in it"
        )
    return path
