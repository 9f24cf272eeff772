"""Fixtures and helpers for an application's tests: databases with a store, catch-up, scenarios.

This is a pytest plugin: enable it with `pytest_plugins = ["mdb_sqla.testing"]` in the root
`conftest.py`. PYTEST_DONT_REWRITE: it has no assertions, and a conftest may import it.
"""

from mdb_sqla.testing.catch_up import NotCaughtUp, catch_up, catch_up_async
from mdb_sqla.testing.database_fixtures import (
    _migrated_template,  # noqa: F401 (pytest finds fixtures by their names in this module)
    message_store_async_engine,
    message_store_engine,
    message_store_migrations,
    message_store_server_url,
    message_store_template_url,
    message_store_url,
)
from mdb_sqla.testing.example_messages import (
    example_message,
    example_stored_message,
    example_stream_name,
)
from mdb_sqla.testing.expected_messages import expect_messages, expect_messages_async
from mdb_sqla.testing.scenario import Outcome, Scenario, When

__all__ = [
    "NotCaughtUp",
    "Outcome",
    "Scenario",
    "When",
    "catch_up",
    "catch_up_async",
    "example_message",
    "example_stored_message",
    "example_stream_name",
    "expect_messages",
    "expect_messages_async",
    "message_store_async_engine",
    "message_store_engine",
    "message_store_migrations",
    "message_store_server_url",
    "message_store_template_url",
    "message_store_url",
]
