"""Dead letters of other streams cost the retention job nothing, however many there are."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from mdb_sqla import Message, MessageStore
from mdb_sqla.retention import RetentionPolicy
from mdb_sqla.retention.expired_messages import count_expired

STREAMS = 50

_INSERT = """
INSERT INTO message_store.dead_letters
  (consumer, global_position, slot, stream_name, position, type, failed)
SELECT 'billing', number, 0, 'invoice-' || number, 0, 'T', true
FROM generate_series(1, 2000) AS number
"""
_READ = """
SELECT seq_tup_read + coalesce(idx_tup_fetch, 0)
FROM pg_stat_xact_user_tables
WHERE schemaname = 'message_store' AND relname = 'dead_letters'
"""


def test_dead_letters_of_other_streams_are_not_read(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        pairs = [(f"order-{number}", Message("T")) for number in range(STREAMS)]
        MessageStore(session).write_messages(pairs)
        session.execute(text(_INSERT))
    with engine.connect() as connection:
        policy = RetentionPolicy("order", keep_age=timedelta(microseconds=1))
        found = count_expired(connection, policy, after=0, up_to=STREAMS)
        read = connection.scalar(text(_READ))

    assert found.number == STREAMS
    assert read == 0
