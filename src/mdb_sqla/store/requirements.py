"""What must hold before a write, as the server functions expect it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Text, bindparam, cast, select
from sqlalchemy.dialects.postgresql import JSONB

from mdb_sqla import functions
from mdb_sqla.database.execution import WRITES, execute

__all__ = ["Requirements", "are_met"]

_UNMET = select(
    functions.unmet_condition(
        cast(bindparam("conditions", type_=Text), JSONB), bindparam("stream_names")
    )
)


class Requirements(NamedTuple):
    """The requirements of a write, which are checked before anything is written.

    Attributes:
        versions: the expected versions of streams; None for a stream that is only locked.
        conditions: the append conditions as JSON; None if there are none.
    """

    versions: Mapping[str, int | None]
    conditions: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a statement that writes messages."""
        parameters: dict[str, Any] = {
            "expected_versions": json.dumps(self.versions) if self.versions else None
        }
        if self.conditions is not None:
            parameters["conditions"] = self.conditions
        return parameters


def are_met(connection: Connection, conditions: str, stream_names: Sequence[str]) -> bool:
    """Take the locks for a write to these streams, and return whether its conditions are met."""
    parameters = {"conditions": conditions, "stream_names": stream_names}
    (unmet,) = execute(connection, _UNMET, parameters, WRITES)
    return unmet.after is None
