"""An adopted sequence draws each global position once, in order, and writers can look at it."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from mdb_sqla import migrations
from tests.migrations.conftest import connected, engine_of

WRITE = "SELECT write_message(gen_random_uuid()::varchar, %s, 'A', '{}')"
SEQUENCE = "messages_global_position_seq"


@pytest.mark.parametrize(
    "others", ["CACHE 20", "CYCLE", "INCREMENT 2", "INCREMENT 5 CACHE 20 CYCLE"]
)
def test_it_is_corrected(original_1_3: URL, others: str) -> None:
    with connected(original_1_3) as connection:
        connection.execute(f"ALTER SEQUENCE {SEQUENCE} {others}".encode())
        before = connection.execute(f"SELECT last_value FROM {SEQUENCE}".encode()).fetchone()

        migrations.upgrade(engine_of(original_1_3))

        assert connection.execute(
            "SELECT increment_by, cache_size, cycle, last_value FROM pg_sequences"
        ).fetchone() == (1, 1, False, *(before or ()))


def test_global_positions_that_a_session_has_cached_are_dropped(original_1_3: URL) -> None:
    with connected(original_1_3) as early, connected(original_1_3) as late:
        early.execute(f"ALTER SEQUENCE {SEQUENCE} CACHE 20".encode())
        early.execute(WRITE, ["shop-1"])

        migrations.upgrade(engine_of(original_1_3))
        late.execute(WRITE, ["shop-2"])
        early.execute(WRITE, ["shop-1"])

        written = late.execute("SELECT stream_name FROM get_category_messages('shop')").fetchall()
    assert written == [("shop-1",), ("shop-2",), ("shop-1",)]


def test_it_is_left_alone_where_it_is_as_it_should_be(original: URL) -> None:
    file = f"SELECT pg_relation_filenode('{SEQUENCE}')".encode()
    with connected(original) as connection:
        before = connection.execute(file).fetchone()

        migrations.upgrade(engine_of(original))

        assert connection.execute(file).fetchone() == before


def test_a_role_that_may_only_draw_from_it_can_go_on_writing(role: str, original_1_3: URL) -> None:
    with connected(original_1_3) as owner:
        for grant in (
            "USAGE ON SCHEMA message_store",
            "SELECT, INSERT ON messages",
            f"USAGE ON SEQUENCE {SEQUENCE}",
        ):
            owner.execute(f"GRANT {grant} TO {role}".encode())
        with connected(original_1_3, role=role) as client:
            migrations.upgrade(engine_of(original_1_3))

            assert client.execute(WRITE, ["shop-1"]).fetchone() == (0,)
        owner.execute(f"DROP OWNED BY {role}".encode())
