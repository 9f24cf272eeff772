"""Guards for the store's revisions in applications whose history includes them.

Alembic silently ignores a version location that it can't find, and it creates a new revision in the
folder of the revision that it follows, which may be in the installed package. It has no hooks for
either. So two of its public methods are wrapped, for every command, as soon as Alembic is imported.
"""

from __future__ import annotations

from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Alembic loads this module while Alembic itself is being imported, so don't import it at the top.
if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

__all__ = ["install"]

_PACKAGE = "mdb_sqla.versions"
_LOCATIONS = {f"{_PACKAGE}:", f"{_PACKAGE}.role:", f"{_PACKAGE}.citus:"}


def install() -> None:
    """Wrap the methods. Must be called only once in a process."""
    from alembic.script import ScriptDirectory

    # Types know neither the function of a classmethod nor the replacement of a method.
    load = ScriptDirectory.from_config.__func__  # type: ignore[attr-defined]
    generate = ScriptDirectory.generate_revision

    @wraps(load)
    def from_config(cls: type[ScriptDirectory], config: Config) -> ScriptDirectory:
        _check_locations(config.get_version_locations_list() or [])
        return load(cls, config)  # type: ignore[no-any-return]

    @wraps(generate)
    def generate_revision(
        self: ScriptDirectory, revid: str, message: str | None, head: Any = None, **options: Any
    ) -> Script | None:
        if options.get("version_path") is None and self.version_locations:
            options["version_path"] = _application_folder(self, head)
        return generate(self, revid, message, head, **options)

    ScriptDirectory.from_config = classmethod(from_config)  # type: ignore[method-assign, assignment]
    ScriptDirectory.generate_revision = generate_revision  # type: ignore[method-assign, assignment]


def _check_locations(locations: list[str]) -> None:
    from alembic.util import CommandError

    for location in locations:
        if _PACKAGE in location and location not in _LOCATIONS:
            raise CommandError(
                f"version_locations has {location!r} instead of {_PACKAGE + ':'!r}: it was split "
                "at the wrong place. Set path_separator = newline, and put each location on a "
                "separate line"
            )


def _application_folder(script: ScriptDirectory, head: Any) -> Path | None:
    """Return the folder of the application that a new revision belongs to.

    Returns:
        The folder, or None if Alembic determines it itself or reports an error.

    Raises:
        CommandError: the revision would follow only revisions of the store.
    """
    from alembic.util import CommandError

    try:
        heads = [each for each in script.get_revisions(head or "head") if each is not None]
    except CommandError:
        return None
    package = Path(str(files(_PACKAGE)))
    folders = [Path(each.path).parent for each in heads]
    of_application = [folder for folder in folders if not folder.is_relative_to(package)]
    if folders and not of_application:
        raise CommandError(
            "The new revision would become part of the history of mdb_sqla. For your first "
            "revision, pass --head base, --version-path and --branch-label; for later ones, pass "
            "--head LABEL@head"
        )
    return of_application[0] if of_application else None
