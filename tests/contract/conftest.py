"""How the contract's tests reach the server: plain SQL, as a client in any language sends it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, Connection, CursorResult, Engine, NullPool, Row, create_engine, text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.conftest import Databases


class Client:
    """Calls the functions of a store over one connection.

    Arguments are sent the way the test passes them, by name or by place: the parameters' names,
    order and defaults are part of the contract.
    """

    def __init__(self, connection: Connection, schema: str = "message_store") -> None:
        self.connection = connection
        self.schema = '"' + schema.replace('"', '""') + '"'

    def execute(self, sql: str, **parameters: Any) -> CursorResult[Any]:
        return self.connection.execute(text(sql), parameters)

    def value(self, sql: str, **parameters: Any) -> Any:
        return self.execute(sql, **parameters).scalar_one()

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.execute(sql, **parameters)]

    def call(self, function: str, *arguments: Any, **named: Any) -> Any:
        sql, parameters = self._call(function, arguments, named)
        return self.value(f"SELECT {sql}", **parameters)

    def read(self, function: str, *arguments: Any, **named: Any) -> Sequence[Row[Any]]:
        sql, parameters = self._call(function, arguments, named)
        return self.execute(f"SELECT * FROM {sql}", **parameters).all()

    def write(self, stream_name: str | None = "account-1", **arguments: Any) -> Any:
        message = {"id": str(uuid4()), "type": "Opened", "data": "{}"}
        return self.call("write_message", **message | arguments, stream_name=stream_name)

    def insert(self, stream_name: str, number: int) -> None:
        """Put many messages into a new stream at once."""
        self.execute(
            "INSERT INTO message_store.messages (stream_name, position, type, data) "
            "SELECT :stream_name, position, 'Opened', '{}' "
            "FROM generate_series(0, :number - 1) AS position",
            stream_name=stream_name,
            number=number,
        )

    def message_count(self) -> Any:
        return self.value("SELECT count(*) FROM message_store.messages")

    def set_local(self, setting: str, value: str) -> None:
        self.execute("SELECT set_config(:setting, :value, true)", setting=setting, value=value)

    @contextmanager
    def refused(self, sqlstate: str, message: str | None = None) -> Iterator[None]:
        """The block's statement fails with this SQLSTATE and, to the letter, this text."""
        with pytest.raises(DBAPIError) as caught, self.connection.begin_nested():
            yield
        error = caught.value.orig
        assert isinstance(error, psycopg.Error)
        assert error.sqlstate == sqlstate
        if message is not None:
            assert error.diag.message_primary == message

    def _call(
        self, function: str, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        values = {f"argument_{place}": value for place, value in enumerate(arguments)} | named
        binds = [f":{name}" for name in values if name not in named]
        binds += [f'"{name}" => :{name}' for name in named]
        return f"{self.schema}.{function}({', '.join(binds)})", values


@pytest.fixture
def client(connection: Connection) -> Client:
    """A client whose transaction is rolled back when the test is over."""
    return Client(connection)


OpenClient = Callable[..., Client]


@contextmanager
def _clients(database: URL) -> Iterator[OpenClient]:
    # Sessions of their own know of no setting from another test; and a test that is wrong about
    # who waits for whom fails, and does not hang.
    options = {"options": "-c lock_timeout=20s"}
    engine = create_engine(database, poolclass=NullPool, connect_args=options)
    with ExitStack() as stack:

        def open_client(isolation_level: str = "READ COMMITTED") -> Client:
            connection = stack.enter_context(engine.connect())
            return Client(connection.execution_options(isolation_level=isolation_level))

        yield open_client


@pytest.fixture
def open_client(shared_engine: Engine) -> Iterator[OpenClient]:
    """Opens clients of the store that all tests share; they must not commit what they write."""
    with _clients(shared_engine.url) as open_client:
        yield open_client


@pytest.fixture(scope="session")
def committed_database(databases: Databases, template: URL) -> Iterator[URL]:
    with databases.create(template) as url:
        yield url


@pytest.fixture
def open_committing_client(committed_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store whose messages go when the test is over."""
    with _clients(committed_database) as open_client:
        yield open_client
    with _clients(committed_database) as open_client:
        cleaner = open_client()
        cleaner.execute("TRUNCATE message_store.messages")
        cleaner.connection.commit()


def _hash_64(value: str) -> int:
    return int.from_bytes(hashlib.md5(value.encode()).digest()[:8], "big", signed=True)


@pytest.fixture(scope="session")
def expected_hash() -> Callable[[str], int]:
    """What `hash_64` has to return."""
    return _hash_64


# One call of everything, on a store with one message in the stream account-1.
_CALLS: dict[str, tuple[str, Any]] = {
    "category": ("SELECT {schema}.category('account-1+2')", "account"),
    "id": ("SELECT {schema}.id('account-1+2')", "1+2"),
    "cardinal_id": ("SELECT {schema}.cardinal_id('account-1+2')", "1"),
    "is_category": ("SELECT {schema}.is_category('account-1+2')", False),
    "hash_64": ("SELECT {schema}.hash_64('account')", _hash_64("account")),
    "message_store_version": ("SELECT {schema}.message_store_version()", "1.3.0"),
    "acquire_lock": ("SELECT {schema}.acquire_lock('account-1')", _hash_64("account")),
    "write_message": (
        "SELECT {schema}.write_message("
        "gen_random_uuid()::varchar, 'account-1', 'Opened', '{}', '{}', 0)",
        1,
    ),
    "stream_version": ("SELECT {schema}.stream_version('account-1')", 0),
    "get_stream_messages": (
        "SELECT stream_name FROM {schema}.get_stream_messages('account-1')",
        "account-1",
    ),
    "get_stream_messages with a condition": (
        "SELECT stream_name "
        "FROM {schema}.get_stream_messages('account-1', condition => 'position = 0')",
        "account-1",
    ),
    "get_category_messages": (
        "SELECT stream_name FROM {schema}.get_category_messages('account')",
        "account-1",
    ),
    "get_category_messages with everything": (
        "SELECT stream_name FROM {schema}.get_category_messages("
        "'account', 1, 1000, 'shop', 0, 1, condition => 'position = 0')",
        "account-1",
    ),
    "get_last_stream_message": (
        "SELECT stream_name FROM {schema}.get_last_stream_message('account-1', 'Opened')",
        "account-1",
    ),
    "messages": ("SELECT stream_name FROM {schema}.messages", "account-1"),
    "stream_summary": ("SELECT stream_name FROM {schema}.stream_summary", "account-1"),
    "type_summary": ("SELECT type FROM {schema}.type_summary", "Opened"),
    "stream_type_summary": ("SELECT type FROM {schema}.stream_type_summary", "Opened"),
    "type_stream_summary": ("SELECT type FROM {schema}.type_stream_summary", "Opened"),
    "category_type_summary": ("SELECT category FROM {schema}.category_type_summary", "account"),
    "type_category_summary": ("SELECT category FROM {schema}.type_category_summary", "account"),
}


@pytest.fixture(params=list(_CALLS.values()), ids=list(_CALLS))
def call(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A call and its answer, for every function and report in turn."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def every_call_answers() -> Callable[[Client], None]:
    """Make all of these calls on an empty store."""

    def check(client: Client) -> None:
        client.write("account-1", metadata='{"correlationStreamName": "shop-1"}')
        client.set_local("message_store.sql_condition", "on")
        for sql, answer in _CALLS.values():
            with client.connection.begin_nested() as savepoint:
                assert client.value(sql.replace("{schema}", client.schema)) == answer, sql
                savepoint.rollback()

    return check
