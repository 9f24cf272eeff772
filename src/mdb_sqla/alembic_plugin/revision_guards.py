"""What Alembic must not do with the store's revisions where an application's history includes them.

Alembic has no hooks for these: it leaves out a location that it does not find without a word, and
puts a new revision beside the one that it follows, which may be in the installed package. So two of
its public methods are wrapped, for every command, as soon as Alembic is imported.
"""

from __future__ import annotations

from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Alembic loads this module while it is being imported itself, so nothing of it is imported up here.
if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

__all__ = ["install"]

_PACKAGE = "mdb_sqla.versions"
_LOCATIONS = {f"{_PACKAGE}:", f"{_PACKAGE}.role:"}


def install() -> None:
    """Wrap the methods, once in a process."""
    from alembic.script import ScriptDirectory

    # Types know neither the function of a classmethod nor that a method is replaced.
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
            options["version_path"] = _own_folder(self, head)
        return generate(self, revid, message, head, **options)

    ScriptDirectory.from_config = classmethod(from_config)  # type: ignore[method-assign, assignment]
    ScriptDirectory.generate_revision = generate_revision  # type: ignore[method-assign, assignment]


def _check_locations(locations: list[str]) -> None:
    from alembic.util import CommandError

    for location in locations:
        if _PACKAGE in location and location not in _LOCATIONS:
            raise CommandError(
                f"version_locations has {location!r}, and not {_PACKAGE + ':'!r}: it was split at "
                "the wrong place. Set path_separator = newline, and put each location on a line of "
                "its own"
            )


def _own_folder(script: ScriptDirectory, head: Any) -> Path | None:
    """Return the folder of the application's that a new revision belongs to.

    Returns:
        None where Alembic finds it by itself, or says what is wrong.

    Raises:
        CommandError: the revision would follow none but ours.
    """
    from alembic.util import CommandError

    try:
        heads = [each for each in script.get_revisions(head or "head") if each is not None]
    except CommandError:
        return None
    ours = Path(str(files(_PACKAGE)))
    folders = [Path(each.path).parent for each in heads]
    own = [folder for folder in folders if not folder.is_relative_to(ours)]
    if folders and not own:
        raise CommandError(
            "The new revision would become part of the history of mdb_sqla. For the first of your "
            "own pass --head base, --version-path and --branch-label, later --head LABEL@head"
        )
    return own[0] if own else None
