"""Messages that are written with COPY, under a snapshot that is older than a deletion."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine, text

from mdb_sqla import Message, TransactionConflict
from mdb_sqla.store.copy_writes import COPY_THRESHOLD
from tests.retention.conftest import Store

DELETE = text(
    "SELECT message_store.delete_messages(array_agg(global_position)) FROM message_store.messages"
)


@pytest.mark.parametrize("isolation_level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_positions_that_were_taken_since(flavour: Any, isolation_level: str) -> None:
    engine = create_engine(flavour.engine.url.set(drivername="postgresql+psycopg"))
    store = Store(engine)
    messages = [Message("T", number) for number in range(COPY_THRESHOLD)]
    with flavour.connection(isolation_level=isolation_level) as connection:
        assert flavour.run(flavour.store(connection).version("order-1")) == -1
        store.write("order-1", 2)
        with engine.begin() as current:
            current.execute(DELETE)

        with pytest.raises(TransactionConflict):
            flavour.run(flavour.store(connection).write("order-1", messages))
        flavour.run(connection.rollback())
        last = flavour.run(flavour.store(connection).write("order-1", messages))
        flavour.run(connection.commit())
    assert last == COPY_THRESHOLD + 1
    assert store.left()[0] == ("order-1", 2)
    assert store.is_sound()
    engine.dispose()
