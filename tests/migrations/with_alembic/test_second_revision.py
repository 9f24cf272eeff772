"""From the first revision of the store to the second, and back."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from tests.conftest import Databases
from tests.migrations.catalog import catalog
from tests.migrations.conftest import Originals, connected, contents
from tests.migrations.with_alembic.application import ROLE, Application

FIRST = "message_store_0001"
FIRST_ROLE = "message_store_role_0001"
WRITE = "SELECT write_message(gen_random_uuid()::varchar, %s, 'A', '{}')"
SEQUENCE = "messages_global_position_seq"
NEW_FUNCTIONS = [
    "get_messages(varchar[], bigint, bigint, varchar, bigint, bigint, varchar)",
    "settled_position(varchar)",
    "write_messages(jsonb, jsonb, boolean)",
    "prepare_copy(text[], bigint)",
]


def write(database: URL, *stream_names: str) -> None:
    with connected(database) as connection:
        for stream_name in stream_names:
            connection.execute(WRITE, [stream_name])


@pytest.fixture
def first(application: Application) -> Application:
    """An application whose store is at the first revision, and has messages."""
    application.upgrade(FIRST)
    write(application.database, "account-1", "account-2", "account-1")
    return application


def test_messages_stay_as_they_are(first: Application) -> None:
    before = contents(first.database)

    first.upgrade()
    assert contents(first.database) == before
    first.downgrade(FIRST)

    assert len(before) == 3 + 1
    assert contents(first.database) == before


def test_positions_and_global_positions_continue(first: Application) -> None:
    first.upgrade()
    write(first.database, "account-1")
    first.downgrade(FIRST)
    write(first.database, "account-1")

    with connected(first.database) as connection:
        read = connection.execute(
            "SELECT position, global_position FROM get_category_messages('account')"
        ).fetchall()
    assert read == [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5)]


def test_downgrade_leaves_the_first_revision(first: Application) -> None:
    before = catalog(first.database)

    first.upgrade("message_store@head")
    assert catalog(first.database) != before
    first.downgrade(FIRST)

    assert catalog(first.database) == before


@pytest.mark.parametrize("granularity", ["stream", "category"])
def test_downgrade_whatever_the_granularity(first: Application, granularity: str) -> None:
    before = catalog(first.database)
    first.upgrade("message_store@head")
    with connected(first.database) as connection:
        connection.execute("SELECT set_lock_granularity(%s)", [granularity])

    first.downgrade(FIRST)

    assert catalog(first.database) == before


def test_downgrade_of_an_adopted_store(
    application: Application, databases: Databases, originals: Originals, version: str
) -> None:
    with databases.create(originals(version)) as url:
        application.database = url
        application.upgrade(FIRST)
        before = catalog(url), contents(url)

        application.upgrade("message_store@head")
        application.downgrade(FIRST)

        assert (catalog(url), contents(url)) == before


@pytest.mark.usefixtures("no_store_role")
def test_downgrade_of_the_role(application: Application) -> None:
    application.locations.append(ROLE)
    application.upgrade(FIRST_ROLE)
    before = catalog(application.database)

    application.upgrade()
    application.downgrade(FIRST_ROLE)
    application.downgrade(FIRST)
    application.upgrade(FIRST_ROLE)

    assert catalog(application.database)["functions"] == before["functions"]
    assert catalog(application.database)["role"] == before["role"]


@pytest.mark.usefixtures("no_store_role")
@pytest.mark.parametrize("function", NEW_FUNCTIONS)
def test_role_may_call_what_is_new(application: Application, function: str) -> None:
    application.locations.append(ROLE)
    with connected(application.database) as connection:
        connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        application.upgrade(FIRST_ROLE)
        application.upgrade("message_store@head")
        may = f"SELECT has_function_privilege('message_store', '{function}', 'EXECUTE')"
        assert connection.execute(may.encode()).fetchone() == (False,)

        application.upgrade()

        assert connection.execute(may.encode()).fetchone() == (True,)


@pytest.mark.usefixtures("no_store_role")
def test_role_goes_on_when_only_the_store_is_upgraded(application: Application) -> None:
    application.locations.append(ROLE)
    with connected(application.database) as connection:
        connection.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    application.upgrade(FIRST_ROLE)

    application.upgrade("message_store@head")

    with connected(application.database, role="message_store") as client:
        assert client.execute(WRITE, ["account-1"]).fetchone() == (0,)
        client.execute("SELECT acquire_lock('account-1')")
        for call in (
            "get_category_messages('account', 1, 10, NULL, 0, 1)",
            "get_stream_messages('account-1')",
            "get_last_stream_message('account-1')",
        ):
            assert len(client.execute(f"SELECT * FROM {call}".encode()).fetchall()) == 1


@pytest.mark.parametrize(
    "others", ["CACHE 20", "CYCLE", "INCREMENT 2", "INCREMENT 5 CACHE 20 CYCLE"]
)
def test_sequence_is_put_right(first: Application, others: str) -> None:
    with connected(first.database) as connection:
        connection.execute(f"ALTER SEQUENCE {SEQUENCE} {others}".encode())
        before = connection.execute(f"SELECT last_value FROM {SEQUENCE}".encode()).fetchone()

        first.upgrade()

        assert connection.execute(
            "SELECT increment_by, cache_size, cycle, last_value FROM pg_sequences"
        ).fetchone() == (1, 1, False, *(before or ()))


def test_global_positions_that_a_session_has_in_store_are_dropped(first: Application) -> None:
    with connected(first.database) as early, connected(first.database) as late:
        early.execute(f"ALTER SEQUENCE {SEQUENCE} CACHE 20".encode())
        early.execute(WRITE, ["account-1"])

        first.upgrade()
        late.execute(WRITE, ["account-2"])
        early.execute(WRITE, ["account-1"])

        written = late.execute(
            "SELECT stream_name FROM get_category_messages('account') OFFSET 3"
        ).fetchall()
    assert written == [("account-1",), ("account-2",), ("account-1",)]


def test_sequence_that_is_right_is_left_alone(first: Application) -> None:
    file = f"SELECT pg_relation_filenode('{SEQUENCE}')".encode()
    with connected(first.database) as connection:
        before = connection.execute(file).fetchone()

        first.upgrade()

        assert connection.execute(file).fetchone() == before


def test_open_sessions_go_on(first: Application) -> None:
    calls = [
        "write_message(gen_random_uuid()::varchar, 'account-1', 'A', '{}')",
        "get_category_messages('account')",
        "get_stream_messages('account-1')",
        "get_last_stream_message('account-1')",
        "acquire_lock('account-1')",
    ]
    with connected(first.database) as session:

        def call_all() -> None:
            for call in calls * 6:
                assert session.execute(f"SELECT * FROM {call}".encode()).fetchall()

        call_all()
        first.upgrade()
        call_all()
        first.downgrade(FIRST)
        call_all()


def test_role_that_may_only_draw_from_the_sequence_goes_on(
    role: str, application: Application
) -> None:
    application.upgrade(FIRST)
    with connected(application.database) as owner:
        for grant in (
            "USAGE ON SCHEMA message_store",
            "SELECT, INSERT ON messages",
            f"USAGE ON SEQUENCE {SEQUENCE}",
        ):
            owner.execute(f"GRANT {grant} TO {role}".encode())
        with connected(application.database, role=role) as client:
            application.upgrade("message_store@head")

            assert client.execute(WRITE, ["account-1"]).fetchone() == (0,)
        owner.execute(f"DROP OWNED BY {role}".encode())


def test_downgrade_waits_for_writers(first: Application) -> None:
    first.upgrade()
    first.connect_args["options"] = "-c lock_timeout=50"
    with connected(first.database) as writer, writer.transaction():
        writer.execute(WRITE, ["account-1"])

        with pytest.raises(Exception, match="lock timeout"):
            first.downgrade(FIRST)

    first.downgrade(FIRST)
