"""The web interface that `mdb dev` and `mdb demo` serve next to the database."""

from __future__ import annotations

import socket
import sys

import httpx2
import pytest
from sqlalchemy import Engine

from mdb_sqla.cli import server_commands
from mdb_sqla.errors import HttpUnavailable


@pytest.mark.parametrize("package", ["uvicorn", "mdb_sqla.web"])
def test_without_its_packages_they_say_what_to_install(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with server_commands._served(engine) as page:
        assert page == 'pip install "mdb_sqla[web]", and start again'


def test_another_port_if_the_usual_one_is_in_use(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(server_commands, "_PORT", port)
        with server_commands._served(engine) as page:
            assert f":{port}/" not in page
            assert httpx2.get(page).status_code == 200


def test_an_error_in_the_block_is_passed_on(engine: Engine) -> None:
    with (
        pytest.raises(HttpUnavailable, match="of the block"),
        server_commands._served(engine),
    ):
        raise HttpUnavailable("of the block")
