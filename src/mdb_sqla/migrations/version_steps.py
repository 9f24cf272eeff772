"""The versions of the store's schema, and the revisions between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory

__all__ = [
    "CITUS",
    "FIRST_ON_CITUS",
    "LATEST",
    "ROLES",
    "STORE",
    "VERSIONS",
    "Steps",
    "downgrade_steps",
    "upgrade_steps",
]

VERSIONS = ("0001", "0002", "0003", "0004", "0005")
"""The versions of the store's schema."""

LATEST = VERSIONS[-1]
"""The latest version of the store's schema in this release."""

STORE = "message_store_"
"""What the ids of the store's revisions begin with; a version follows."""

ROLES = "message_store_role_"
"""What the ids of the revisions of the roles begin with."""

CITUS = "message_store_citus_"
"""What the ids of the revisions that distribute the store with Citus begin with."""

FIRST_ON_CITUS = "0004"
"""The first version of the store's schema that can be distributed with Citus."""

Steps = Callable[[ScriptDirectory, Any], Any]
"""Returns the steps from the current revisions."""


def upgrade_steps(version: str, roles: bool, citus: bool) -> Steps:
    """Return the steps to a version; none if the store has it, or a later one."""

    def steps(script: ScriptDirectory, current: Any) -> Any:
        heads = tuple(current)
        for branch, is_asked_for in ((STORE, True), (CITUS, citus), (ROLES, roles)):
            if not (is_asked_for or any(revision.startswith(branch) for revision in current)):
                continue
            target = f"{branch}{version}"
            # Alembic would fail on a target that the store is ahead of.
            if target not in _done(script, heads):
                yield from script._upgrade_revs(target, heads)  # type: ignore[arg-type]
                # What it depends on is implied, and Alembic refuses it as another head.
                implied = _done(script, (target,))
                heads = (*(each for each in heads if each not in implied), target)

    return steps


def _done(script: ScriptDirectory, heads: tuple[str, ...]) -> set[str]:
    revisions = script.revision_map
    done = revisions._get_ancestor_nodes(revisions.get_revisions(heads), include_dependencies=True)
    return {revision.revision for revision in done}


def downgrade_steps(version: str) -> Steps:
    """Return the steps back to a version, or to `"base"`."""

    def steps(script: ScriptDirectory, current: Any) -> Any:
        if version == "base":
            yield from script._downgrade_revs("base", current)
            return
        # Alembic would also revert the roles' revision of that version, which depends on it.
        done = _done(script, tuple(current))
        later = [each for each in reversed(VERSIONS) if each > version]
        for name in (f"{branch}{each}" for each in later for branch in (CITUS, ROLES, STORE)):
            if name in done:
                revision = script.get_revision(name)
                yield MigrationStep.downgrade_from_script(script.revision_map, revision)

    return steps
