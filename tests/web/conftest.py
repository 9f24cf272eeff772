"""A store with flights, its web interface on a server, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright
from sqlalchemy import URL, Engine, NullPool, create_engine
from starlette.types import ASGIApp

from mdb_sqla.host.http_server import serve
from mdb_sqla.web import create_app
from tests.conftest import Databases
from tests.web.flight_store import fill
from tests.web.visitor import Visitor

Open = Callable[..., Visitor]
Serve = Callable[..., str]
Pooled = Callable[..., Engine]

MISSING = "Needs Chromium: apt-get install --no-install-recommends chromium"


@pytest.fixture(scope="session")
def flights(databases: Databases, template: URL) -> Iterator[URL]:
    """A database with flights, to read and to copy."""
    with databases.create(template) as url:
        engine = create_engine(url)
        fill(engine)
        engine.dispose()
        yield url


@pytest.fixture
def flights_copy(databases: Databases, flights: URL) -> Iterator[URL]:
    """A database with flights, the test's own."""
    with databases.create(flights) as url:
        yield url


@pytest.fixture(scope="session")
def flights_engine(flights: URL) -> Iterator[Engine]:
    # Without a pool, so that the database can be copied whenever nothing runs.
    engine = create_engine(flights, poolclass=NullPool)
    yield engine
    engine.dispose()


# Not scoped to the session: it queries the database for 15 minutes after the last view.
@pytest.fixture(scope="module")
def site(flights_engine: Engine) -> Iterator[str]:
    """The address of the web interface of the flights, read-only."""
    with serve(("127.0.0.1", 0), create_app(flights_engine)) as url:
        yield url


@pytest.fixture
def pooled() -> Iterator[Callable[..., Engine]]:
    """Creates engines with pools, which are disposed of when nothing uses them any more."""
    with ExitStack() as stack:

        def create(url: URL, **options: Any) -> Engine:
            engine = create_engine(url, **options)
            stack.callback(engine.dispose)
            return engine

        yield create


@pytest.fixture
def served(pooled: object) -> Iterator[Callable[..., str]]:
    """Serves an application, or the web interface of an engine, until the test ends."""
    with ExitStack() as stack:

        def start(source: Any, **options: Any) -> str:
            is_engine = hasattr(source, "dialect")
            app: ASGIApp = create_app(source, **options) if is_engine else source
            return stack.enter_context(serve(("127.0.0.1", 0), app))

        yield start


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=20) as client:
        yield client


# Not of the session: while it is open, no other test could run an event loop in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it the test fails in CI and is skipped elsewhere."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright, _launched(playwright, program) as browser:
        expect.set_options(timeout=15_000)
        yield browser


@contextmanager
def _launched(playwright: Any, program: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=program)
    yield browser
    browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens pages in contexts of the browser, and checks that none of them reported an error."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def start(url: str, **options: Any) -> Visitor:
            context = stack.enter_context(_context(browser, **options))
            visitors.append(Visitor(context.new_page()))
            visitors[-1].visit(url)
            return visitors[-1]

        yield start
        for visitor in visitors:
            assert visitor.problems == []


def _context(browser: Browser, **options: Any) -> AbstractContextManager[BrowserContext]:
    context = browser.new_context(viewport=options.pop("viewport", None) or WIDE, **options)
    context.set_default_timeout(15_000)
    return context


WIDE: Any = {"width": 1280, "height": 800}

__all__ = ["WIDE", "Open", "Pooled", "Serve"]
