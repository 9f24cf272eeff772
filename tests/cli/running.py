"""The command `mdb` as a process of its own."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import URL, create_engine

from mdb_sqla import Message, MessageStore
from tests.cli.test_mdb import mdb


def told(*arguments: str, url: URL, code: int = 0) -> Any:
    """What the command prints as JSON."""
    return json.loads(mdb(*arguments, "--json", url=url, code=code).stdout)


def write(url: URL, *messages: tuple[str, str]) -> None:
    """Write messages, each of a stream and a type."""
    engine = create_engine(url)
    with engine.begin() as connection:
        store = MessageStore(connection)
        for stream_name, type_ in messages:
            store.write(stream_name, Message(type_))
    engine.dispose()
