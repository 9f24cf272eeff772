"""With whose rights, and whose names, the functions run."""

from __future__ import annotations

from sqlalchemy import Connection, text

OF_THE_STORE = "FROM pg_proc WHERE pronamespace = 'message_store'::regnamespace"

WITH_THE_CALLERS_NAMES = {
    # A condition of the caller's, or a trigger of the owner's, runs within them.
    "get_category_messages",
    "get_messages",
    "get_stream_messages",
    "refuse_version",
    "write_message",
    "write_messages",
    "write_conditionally",
    # Inlined, so that there can be no setting: a constant, and a query of qualified names.
    "lock_granularity",
    "granularity_of_snapshot",
}


def test_none_runs_with_the_rights_of_another(connection: Connection) -> None:
    assert connection.scalars(text(f"SELECT proname {OF_THE_STORE} AND prosecdef")).all() == []


def test_names_are_looked_up_where_only_postgresql_has_some(connection: Connection) -> None:
    """Or when the function is created; or they are qualified, as test_search_path proves."""
    looked_up = text(
        f"SELECT proname {OF_THE_STORE} AND prosqlbody IS NULL "
        "AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"
    )

    assert set(connection.scalars(looked_up)) == WITH_THE_CALLERS_NAMES


def test_a_trigger_finds_what_the_caller_finds(connection: Connection) -> None:
    """A store that is adopted may have one that relies on it."""
    for statement in (
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.noted (type text)",
        "CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN INSERT INTO noted VALUES (new.type); RETURN new; END'",
        "CREATE TRIGGER note BEFORE INSERT ON message_store.messages "
        "FOR EACH ROW EXECUTE FUNCTION shop.note()",
        "SET LOCAL search_path = shop",
        "SELECT message_store.write_message(gen_random_uuid()::varchar, 'a-1', 'One', '{}')",
        "SELECT message_store.write_messages(jsonb_agg(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', 'a-1', 'type', type))) "
        "FROM unnest(ARRAY['Two', 'Three']) AS type",
    ):
        connection.execute(text(statement))

    assert connection.scalars(text("SELECT type FROM noted")).all() == ["One", "Two", "Three"]
