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
    # A constant, which is inlined.
    "lock_granularity",
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
