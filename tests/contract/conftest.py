"""How the contract's tests reach the server: plain SQL, as a client in any language sends it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, Connection, CursorResult, Engine, NullPool, Row, create_engine, text
from sqlalchemy.exc import DBAPIError

from mdb_sqla.database.error_fields import diagnostics_of

if TYPE_CHECKING:
    from tests.conftest import Databases


_LENGTH_OF_SQLSTATE = 5


def kind_of(error: DBAPIError) -> str:
    """The kind of an error of the store's functions; of any other, the SQLSTATE."""
    said = diagnostics_of(error)
    return said.constraint if said.sqlstate == "P0001" else said.sqlstate or ""


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

    def write_batch(
        self,
        *messages: str | dict[str, Any],
        expected_versions: dict[str, int] | None = None,
        **arguments: Any,
    ) -> list[tuple[int, int]]:
        """Write messages at once, each given as its stream's name or as what it is to contain.

        Returns:
            The position and the global position of each.
        """
        if expected_versions is not None:
            arguments["expected_versions"] = json.dumps(expected_versions)
        rows = self.read("write_messages", _document(messages), **arguments)
        return [(row.position, row.global_position) for row in rows]

    def write_tagged(self, stream_name: str, *tags: str, type: str = "Opened") -> int:  # noqa: A002
        """Write a message with tags, and return its global position."""
        message = {"stream_name": stream_name, "type": type, "metadata": {"tags": tags}}
        ((_, global_position),) = self.write_batch(message)
        return global_position

    def write_conditionally(
        self,
        *messages: str | dict[str, Any],
        unless: Sequence[tuple[Sequence[dict[str, Any]], int]],
        expected_versions: dict[str, int] | None = None,
        **arguments: Any,
    ) -> list[tuple[int, int]]:
        """Write messages as `write_batch` does, unless a query matches after a position."""
        conditions = json.dumps([{"query": query, "after": after} for query, after in unless])
        if expected_versions is not None:
            arguments["expected_versions"] = json.dumps(expected_versions)
        rows = self.read("write_conditionally", _document(messages), conditions, **arguments)
        return [(row.position, row.global_position) for row in rows]

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
    def refused(
        self, kind: str, message: str | None = None
    ) -> Iterator[pytest.ExceptionInfo[DBAPIError]]:
        """The block's statement fails with this SQLSTATE and, to the letter, this text.

        Errors of the store's functions are P0001; `kind` is what their field CONSTRAINT has.
        """
        with pytest.raises(DBAPIError) as caught, self.connection.begin_nested():
            yield caught
        error = caught.value.orig
        assert isinstance(error, psycopg.Error)
        if len(kind) == _LENGTH_OF_SQLSTATE:
            assert error.sqlstate == kind
        else:
            assert (error.sqlstate, error.diag.constraint_name) == ("P0001", kind)
            schema = (error.diag.schema_name or "").replace('"', '""')
            assert f'"{schema}"' == self.schema
        if message is not None:
            assert error.diag.message_primary == message

    def floors(self) -> list[int]:
        """The global positions that this client's locks name as its floors: their low 32 bits."""
        floors = self.rows(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 "
            "AND classid = CAST(:messages AS regclass) AND pid = pg_backend_pid() ORDER BY 1",
            messages=f"{self.schema}.messages",
        )
        return [floor for (floor,) in floors]

    def category_lock(self, category: str) -> str | None:
        """The strongest mode in which this client holds the lock of a category."""
        modes = self.rows(
            "SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
            "AND (classid::bigint << 32) | objid::bigint = :key AND pid = pg_backend_pid() "
            "ORDER BY mode",
            key=_hash_64(category),
        )
        return str(modes[0][0]) if modes else None

    @property
    def pid(self) -> int:
        """The server's process, without a query, which would begin a transaction."""
        driver_connection = self.connection.connection.driver_connection
        assert isinstance(driver_connection, psycopg.Connection)
        return driver_connection.info.backend_pid

    def _call(
        self, function: str, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        values = {f"argument_{place}": value for place, value in enumerate(arguments)} | named
        binds = [f":{name}" for name in values if name not in named]
        binds += [f'"{name}" => :{name}' for name in named]
        return f"{self.schema}.{function}({', '.join(binds)})", values


def _document(messages: Sequence[str | dict[str, Any]]) -> str:
    documents = [
        {"id": str(uuid4()), "type": "Opened", "data": {}}
        | ({"stream_name": message} if isinstance(message, str) else message)
        for message in messages
    ]
    return json.dumps(documents)


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


@pytest.fixture
def open_committing_client(category_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store that locks categories; its messages go when the test is over."""
    with _emptied(category_database) as open_client:
        yield open_client


@contextmanager
def _with_granularity(databases: Databases, template: URL, granularity: str) -> Iterator[URL]:
    with databases.create(template) as url:
        with _clients(url) as open_client:
            owner = open_client()
            owner.call("set_lock_granularity", granularity)
            owner.connection.commit()
        yield url


@pytest.fixture(scope="session")
def category_database(databases: Databases, template: URL) -> Iterator[URL]:
    with _with_granularity(databases, template, "category") as url:
        yield url


@pytest.fixture(scope="session")
def stream_database(databases: Databases, template: URL) -> Iterator[URL]:
    with _with_granularity(databases, template, "stream") as url:
        yield url


@contextmanager
def _emptied(database: URL) -> Iterator[OpenClient]:
    with _clients(database) as open_client:
        yield open_client
    with _clients(database) as open_client:
        cleaner = open_client()
        cleaner.execute(
            "TRUNCATE message_store.messages, message_store.stream_heads RESTART IDENTITY"
        )
        cleaner.connection.commit()


@pytest.fixture
def open_stream_client(stream_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store that locks streams; its messages go when the test is over."""
    with _emptied(stream_database) as open_client:
        yield open_client


@pytest.fixture(params=["category", "stream"])
def open_any_client(
    category_database: URL, stream_database: URL, request: pytest.FixtureRequest
) -> Iterator[OpenClient]:
    """Opens clients of a store of each granularity; its messages go when the test is over."""
    with _emptied(
        category_database if request.param == "category" else stream_database
    ) as open_client:
        yield open_client


@pytest.fixture
def open_switching_client(category_database: URL) -> Iterator[OpenClient]:
    """Opens clients of a store that locks categories until the test changes that."""
    with _emptied(category_database) as open_client:
        yield open_client
    with _clients(category_database) as open_client:
        owner = open_client()
        owner.call("set_lock_granularity", "category")
        owner.connection.commit()


Blocked = Callable[[Client, Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def blocked(shared_engine: Engine) -> Iterator[Blocked]:
    """Starts what a client does in the background; goes on once it waits for another client."""
    with _clients(shared_engine.url) as open_client, ThreadPoolExecutor() as executor:
        observer = open_client()

        def start(client: Client, work: Callable[[], Any]) -> Future[Any]:
            pid = client.pid
            future = executor.submit(work)
            deadline = time.monotonic() + 10
            while not observer.value("SELECT cardinality(pg_blocking_pids(:pid))", pid=pid):
                assert not future.done(), f"it did not wait: {future.result()}"
                assert time.monotonic() < deadline
                time.sleep(0.005)
            return future

        yield start


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
    "get_messages": ("SELECT stream_name FROM {schema}.get_messages()", "account-1"),
    "get_messages with everything": (
        "SELECT stream_name FROM {schema}.get_messages("
        "ARRAY['account', 'shop'], 1, 1000, 'shop', 0, 1, condition => 'position = 0')",
        "account-1",
    ),
    "settled_position": ("SELECT {schema}.settled_position('account') > 0", True),
    "write_messages": (
        "SELECT position FROM {schema}.write_messages(jsonb_build_array(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', 'account-1', 'type', 'Opened')),"
        "jsonb_build_object('account-1', 0), false)",
        1,
    ),
    "write_messages again": (
        "SELECT position FROM {schema}.write_messages((SELECT jsonb_agg("
        "to_jsonb(m) - 'time' - 'position' - 'global_position') FROM {schema}.messages AS m))",
        0,
    ),
    "get_query_messages": (
        "SELECT stream_name FROM {schema}.get_query_messages("
        """'[{"categories": ["account"], "types": ["Opened"]}]')""",
        "account-1",
    ),
    "write_conditionally": (
        "SELECT position FROM {schema}.write_conditionally(jsonb_build_array(jsonb_build_object("
        "'id', gen_random_uuid(), 'stream_name', 'account-1', 'type', 'Opened')),"
        """'[{"query": [{"categories": ["shop"]}], "after": 0}]')""",
        1,
    ),
    "unmet_condition": (
        "SELECT global_position > 0 FROM {schema}.unmet_condition("
        """'[{"query": [{"categories": ["account"]}], "after": 0}]', ARRAY['account-1'])""",
        True,
    ),
    "prepare_copy": ("SELECT versions FROM {schema}.prepare_copy(ARRAY['account-1'], 2)", [0]),
    "lock_granularity": ("SELECT {schema}.lock_granularity()", "stream"),
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
