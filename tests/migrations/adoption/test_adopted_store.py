from __future__ import annotations

import pytest
from sqlalchemy import URL, text

from mdb_sqla import migrations
from tests.migrations.catalog import catalog
from tests.migrations.conftest import REVISIONS, connected, contents, engine_of

REPORTS = [
    "stream_summary",
    "type_summary",
    "stream_type_summary",
    "type_stream_summary",
    "category_type_summary",
    "type_category_summary",
]


def test_no_message_is_lost_or_changed(original: URL) -> None:
    before = contents(original)

    migrations.upgrade(engine_of(original))

    assert len(before) == 12 + 1
    assert contents(original) == before


def test_the_table_and_its_indexes_are_not_rewritten(original: URL) -> None:
    files = """
        SELECT relname, pg_relation_filenode(oid) FROM pg_class
        WHERE relnamespace = 'message_store'::regnamespace AND relkind IN ('r', 'i', 'S')
        AND relname LIKE 'messages%' ORDER BY 1
    """
    with connected(original) as connection:
        before = connection.execute(files).fetchall()
        migrations.upgrade(engine_of(original))

        assert len(before) == 1 + 4 + 1
        after = connection.execute(files).fetchall()
        # The index of tags is new.
        assert [row for row in after if row[0] != "messages_tags"] == before


def test_positions_and_global_positions_continue(original: URL) -> None:
    *_, (last, _) = contents(original)
    migrations.upgrade(engine_of(original))

    with connected(original) as connection:
        written = connection.execute(
            "SELECT write_message(gen_random_uuid()::varchar, 'account-1', 'A', '{}', NULL, 2)"
        ).fetchone()
        read = connection.execute(
            "SELECT position, global_position FROM get_last_stream_message('account-1')"
        ).fetchone()

    assert written == (3,)
    assert read == (3, last + 1)


def test_what_was_read_before_is_read_after(original: URL) -> None:
    reads = [
        "SELECT * FROM get_stream_messages('account-1')",
        "SELECT * FROM get_category_messages('account')",
        "SELECT * FROM get_category_messages('account', correlation => 'some')",
        "SELECT * FROM get_last_stream_message('other:command-1')",
        *(f"SELECT * FROM {report}" for report in REPORTS),
    ]
    with connected(original) as connection:
        before = [connection.execute(read).fetchall() for read in reads]
        migrations.upgrade(engine_of(original))
        after = [connection.execute(read).fetchall() for read in reads]

    assert after == before
    assert all(before)


def test_the_schema_is_that_of_a_store_that_was_installed(original: URL, template: URL) -> None:
    migrations.upgrade(engine_of(original))
    adopted, installed = catalog(original), catalog(template)

    for section in ("columns", "indexes", "constraints"):
        assert adopted[section] == installed[section]
    names = [function[:2] for function in adopted["functions"] if function[0] == "message_store"]
    assert names == [function[:2] for function in installed["functions"]]
    different = {
        adopted_one[1]
        for adopted_one, installed_one in zip(
            [function for function in adopted["functions"] if function[0] == "message_store"],
            installed["functions"],
            strict=True,
        )
        if adopted_one[4] != installed_one[4]
    }
    assert different == {"message_store.lock_granularity()"}


def test_what_others_built_on_it_stays(original: URL) -> None:
    with connected(original) as connection:
        connection.execute("CREATE VIEW public.busy AS SELECT * FROM stream_summary")
        connection.execute("CREATE INDEX messages_type ON messages (type)")
        connection.execute("ALTER TABLE messages ADD CONSTRAINT typed CHECK (type <> '')")
        connection.execute(
            "CREATE TRIGGER watch AFTER INSERT ON messages EXECUTE FUNCTION "
            "suppress_redundant_updates_trigger()"
        )
        connection.execute("ALTER TABLE messages DISABLE TRIGGER watch")
        connection.execute("COMMENT ON FUNCTION write_message IS 'ours'")
        before = catalog(original)
        migrations.upgrade(engine_of(original))
        after = catalog(original)

    for section in ("triggers", "constraints", "indexes", "comments"):
        assert set(before[section]) <= set(after[section])
    assert "busy" in str(after["relations"])


def test_it_is_upgraded_no_further_the_second_time(original: URL) -> None:
    first = migrations.upgrade(engine_of(original))
    before = catalog(original)

    assert first == REVISIONS
    assert migrations.upgrade(engine_of(original)) == []
    assert catalog(original) == before


def test_the_extension_for_its_ids_can_go(original: URL) -> None:
    with connected(original, "public") as connection:
        # As in a store that was installed when the function was not in PostgreSQL itself.
        connection.execute(
            "CREATE OR REPLACE FUNCTION public.random_id() RETURNS uuid "
            "LANGUAGE sql AS 'SELECT gen_random_uuid()'"
        )
        connection.execute(
            "ALTER TABLE message_store.messages ALTER COLUMN id SET DEFAULT public.random_id()"
        )
        migrations.upgrade(engine_of(original))

        connection.execute("DROP FUNCTION public.random_id()")


def test_a_session_from_before_goes_on_using_the_index(original: URL) -> None:
    # It remembers the index with `category` as it was; in queries that is inlined now.
    plan = "EXPLAIN SELECT * FROM messages WHERE category(stream_name) = 'account'"
    with connected(original) as connection:
        connection.execute("SET enable_seqscan = off")
        before = connection.execute(plan).fetchall()
        migrations.upgrade(engine_of(original))
        after = connection.execute(plan).fetchall()

    assert "messages_category" in str(before)
    assert "messages_category" in str(after)


def test_a_downgrade_removes_it_but_not_its_schema(original: URL) -> None:
    engine = engine_of(original)
    migrations.upgrade(engine)

    migrations.downgrade(engine, delete_messages=True)

    after = catalog(original)
    assert [schema for schema, *_ in after["schemas"]] == ["message_store", "public"]
    assert after["relations"] == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regproc('message_store.write_message')")) is None


@pytest.mark.parametrize("version", ["1.3.0"], indirect=True)
def test_the_role_may_be_asked_for(original: URL) -> None:
    migrations.upgrade(engine_of(original), roles=True)

    with connected(original, role="message_store") as connection:
        connection.execute("SET message_store.sql_condition = 'on'")
        read = connection.execute(
            "SELECT * FROM get_stream_messages('account-1', condition => 'true')"
        )

        assert len(read.fetchall()) == 3
