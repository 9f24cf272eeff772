from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import URL

from mdb_sqla import migrations
from tests.migrations.conftest import connected, engine_of

REFUSED = {
    "MS001": "SELECT write_message(gen_random_uuid()::varchar, 'account-1', 'A', '{}', NULL, 7)",
    "MS002": "SELECT get_stream_messages('account')",
    "MS003": "SELECT get_category_messages('account-1')",
    "MS004": "SELECT get_category_messages('account', correlation => 'other-1')",
    "MS005": "SELECT get_category_messages('account', consumer_group_member => 1)",
    "MS006": "SELECT get_stream_messages('account-1', condition => 'true')",
}


def refusals(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, str | None]:
    sqlstates = {}
    for code, call in REFUSED.items():
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(call)
        sqlstates[code] = caught.value.sqlstate
    return sqlstates


def test_all_are_p0001_until_own_codes_are_asked_for(original: URL) -> None:
    migrations.upgrade(engine_of(original))

    with connected(original) as connection:
        assert refusals(connection) == dict.fromkeys(REFUSED, "P0001")
        connection.execute("SELECT message_store.use_error_codes(true)")
        assert refusals(connection) == {code: code for code in REFUSED}
        connection.execute("SELECT message_store.use_error_codes(false)")
        assert refusals(connection) == dict.fromkeys(REFUSED, "P0001")


def test_the_choice_survives_another_upgrade(original_1_3: URL) -> None:
    migrations.upgrade(engine_of(original_1_3))

    with connected(original_1_3) as connection:
        connection.execute("SELECT message_store.use_error_codes(true)")
        migrations.upgrade(engine_of(original_1_3))

        assert refusals(connection)["MS001"] == "MS001"
