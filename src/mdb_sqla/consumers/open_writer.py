from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mdb_sqla.words.durations import duration

__all__ = ["OpenWriter"]


@dataclass(frozen=True)
class OpenWriter:
    """An open or prepared transaction that has written to the store.

    The client, state, query and age of other roles' sessions are None unless the current role is a
    member of `pg_read_all_stats`.

    Attributes:
        pid: the process ID of the server process; None for a prepared transaction.
        gid: the identifier of a prepared transaction; None for any other.
        role: the role that runs the transaction.
        application: the `application_name` of the session.
        client: the client's IP address; None for a Unix-domain socket.
        state: the state of the session, such as `idle in transaction`.
        query: the last query of the session, truncated by PostgreSQL.
        seconds: how long the transaction has been open or prepared.
        position: the global position at which it holds readers back; None if it holds back only
            writers, because it has not written to this store yet.
        categories: the categories that it has locked, of those in the store or requested.
        waiting: the process IDs of the writers that wait for its locks.
        waits_for: the process IDs that it waits for; 0 stands for a prepared transaction.
    """

    pid: int | None
    gid: str | None
    role: str | None
    application: str | None
    client: str | None
    state: str | None
    query: str | None
    seconds: float | None
    position: int | None
    categories: tuple[str, ...]
    waiting: tuple[int, ...]
    waits_for: tuple[int, ...]

    def __str__(self) -> str:
        """Return one line: which transaction holds others back, and at which position."""
        held = "held back" if self.position is None else f"held back at position {self.position}"
        line = f"{held} by {self._name} ({', '.join(self._facts())})"
        if self.waiting:
            number = len(self.waiting)
            line += f"; {number} writer{'s wait' if number > 1 else ' waits'} for it"
        if self.waits_for:
            names = (f"pid {pid}" if pid else "a prepared transaction" for pid in self.waits_for)
            line += f"; it waits for {', '.join(names)}"
        return line

    @property
    def remedy(self) -> str:
        """The statement that rolls the transaction back; its messages are lost.

        A prepared transaction must be rolled back in this database, by its role or a superuser.
        """
        if self.gid is None:
            return f"SELECT pg_terminate_backend({self.pid})"
        return "ROLLBACK PREPARED '" + self.gid.replace("'", "''") + "'"

    def as_dict(self) -> dict[str, Any]:
        """Return the transaction, with its remedy, as JSON-compatible values."""
        return asdict(self) | {"remedy": self.remedy}

    @property
    def _name(self) -> str:
        return f"pid {self.pid}" if self.gid is None else f"prepared transaction {self.gid!r}"

    def _facts(self) -> Iterator[str]:
        if self.application is not None:
            yield f'application "{self.application}"'
        if self.role is not None:
            yield f"role {self.role}"
        if self.client is not None:
            yield f"client {self.client}"
        what = "in transaction" if self.gid is None else "prepared"
        age = "an unknown time" if self.seconds is None else duration(round(self.seconds))
        yield f"{what} for {age}"
        if self.state is not None:
            yield self.state
