"""A server that also listens on a port of the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from mdb_sqla.embedded import EmbeddedPostgres, EmbeddedPostgresError
from mdb_sqla.embedded.loopback import free_addresses, free_port

if TYPE_CHECKING:
    from tests.embedded.conftest import Query

PASSWORD = "secret"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(port=free_port()) as server:
        yield server


def tcp_url(server: EmbeddedPostgres, address: str, password: str | None) -> URL:
    url = server.url()
    return url.set(host=address, query={"gssencmode": "disable"}, password=password)


def addresses(server: EmbeddedPostgres, query: Query) -> list[str]:
    return query(server.url(), "show listen_addresses").split(",")


def test_it_listens_on_localhost_alone(server: EmbeddedPostgres, query: Query) -> None:
    assert "127.0.0.1" in addresses(server, query)
    assert set(addresses(server, query)) <= {"127.0.0.1", "::1"}


def test_the_port_asks_for_a_password(server: EmbeddedPostgres, query: Query) -> None:
    query(server.url(), f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")

    for address in addresses(server, query):
        assert query(tcp_url(server, address, PASSWORD), "select 1") == "1"
        for password, why in ((None, "no password supplied"), ("wrong", "authentication failed")):
            with pytest.raises(OperationalError, match=why):
                query(tcp_url(server, address, password), "select 1")


def test_a_role_without_a_password_is_refused(server: EmbeddedPostgres, query: Query) -> None:
    query(server.url(), "CREATE ROLE plain LOGIN")

    with pytest.raises(OperationalError, match="authentication failed"):
        query(tcp_url(server, "127.0.0.1", PASSWORD).set(username="plain"), "select 1")
    assert query(server.url().set(username="plain"), "select current_user") == "plain"


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_port_in_use(family: socket.AddressFamily, address: str) -> None:
    """PostgreSQL itself would start, and listen on the other address."""
    try:
        other = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"{address} is not available")
    with other:
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"Can't listen on port {port} of "):
            EmbeddedPostgres(port=port).start()


def test_a_free_port() -> None:
    port = free_port()

    assert 15_000 <= port < 32_000
    assert "127.0.0.1" in free_addresses(port)


def test_one_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    none = (socket.AF_INET6, "2001:db8::1")  # for documentation, on no machine
    monkeypatch.setattr(
        "mdb_sqla.embedded.loopback._ADDRESSES", (none, (socket.AF_INET, "127.0.0.1"))
    )

    assert free_addresses(free_port()) == ["127.0.0.1"]


def test_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL would start nevertheless, and a search for a port would not end."""
    none = (socket.AF_INET6, "2001:db8::1")
    monkeypatch.setattr("mdb_sqla.embedded.loopback._ADDRESSES", (none,))

    with pytest.raises(EmbeddedPostgresError, match="port 20000 of localhost: the loopback"):
        free_addresses(20_000)
    with pytest.raises(EmbeddedPostgresError, match="Can't listen on localhost: 100 ports"):
        free_port()
