"""The command `mdb operations`, and what the other commands record."""

from __future__ import annotations

import getpass
from typing import Any

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, func, select
from sqlalchemy.orm import sessionmaker

from mdb_sqla import Consumer, RetryPolicy, migrations
from mdb_sqla.admin import record_operation
from mdb_sqla.cli.os_user import os_user
from tests.cli.running import told, write
from tests.cli.test_mdb import mdb

USER = getpass.getuser()


def operations(url: URL) -> list[dict[str, Any]]:
    """Those that were recorded, oldest first."""
    found: list[dict[str, Any]] = told("operations", url=url)
    return found[::-1]


def test_each_command_says_who_has_run_it(engine: Engine) -> None:
    policy = RetryPolicy(max_attempts=1)
    consumer = Consumer("billing", "account", on_failure="dead_letter", retry_policy=policy)

    @consumer.on()
    def fail(message: Any, unit: Any) -> None:
        raise ZeroDivisionError

    write(engine.url, ("account-1", "Opened"))
    consumer.catch_up(sessionmaker(engine))
    commands = [
        ("pause_consumer", "billing", "pause-consumer billing"),
        ("resume_consumer", "billing", "resume-consumer billing"),
        ("replay", "billing", "dead-letters replay billing"),
        ("skip", "billing", "dead-letters skip billing 1"),
        ("reset_consumer", "billing", "reset-consumer billing"),
        ("delete_consumer", "billing", "delete-consumer billing"),
        ("set_policy", "account", "retention set account"),
        ("delete_policy", "account", "retention delete account"),
        ("set_lock_granularity", None, "lock-granularity category"),
        ("set_protection", None, "protect on"),
        ("set_protection", None, "protect off"),
        ("clear", None, "clear --yes"),
        ("verify", None, "verify --quick"),
    ]
    for _, _, command in commands:
        mdb(*command.split(), url=engine.url)

    found = operations(engine.url)
    assert [(each["kind"], each["subject"]) for each in found] == [
        (kind, subject) for kind, subject, _ in commands
    ]
    assert {each["performed_by"] for each in found} == {USER}
    with engine.connect() as connection:
        assert {each["role"] for each in found} == {connection.scalar(select(func.session_user()))}


def test_what_people_read(engine: Engine) -> None:
    with engine.begin() as connection:
        role = connection.scalar(select(func.session_user()))
        record_operation(connection, "rebuild", "invo\x1bices", details={"n": 1}, by="alice")
        record_operation(connection, "rebuild")

    latest, first = mdb("operations", url=engine.url).stdout.splitlines()

    assert first.endswith(f"Z  rebuild  invo\\u001bices  by alice as {role}  n=1")
    assert latest.endswith(f"Z  rebuild  by {role}")
    only = mdb("operations", "other", "--kind", "rebuild", url=engine.url)
    assert (only.stdout, only.stderr) == ("", "No operations.\n")
    assert len(mdb("operations", "--limit", "1", url=engine.url).stdout.splitlines()) == 1


def test_the_result_of_a_verification(engine: Engine) -> None:
    write(engine.url, ("account-1", "Opened"))
    told("verify", url=engine.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX message_store.messages_id")
    told("verify", "--quick", url=engine.url, code=1)

    sound, broken = operations(engine.url)
    assert sound["details"].pop("seconds") > 0
    assert broken["details"].pop("seconds") > 0
    # Without the roles, their privileges are skipped.
    assert sound["details"] == {"problems": 0, "skipped": 1, "quick": False}
    assert broken["details"] == {"problems": 1, "skipped": 2, "quick": True}


def test_a_role_that_may_only_read_verifies(engine: Engine) -> None:
    migrations.upgrade(engine, roles=True)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE ROLE mdb_sqla_verifier LOGIN IN ROLE message_store_reader"
        )
    of_role = create_engine(engine.url.set(username="mdb_sqla_verifier"), poolclass=NullPool)
    try:
        found = told("verify", url=of_role.url)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP ROLE mdb_sqla_verifier")

    assert found["differences"] == []
    (line,) = [each for each in found["left_out"] if each.startswith("Log of operations")]
    assert "permission denied for table operations" in line
    assert operations(engine.url) == []


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: the role is recorded instead."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert os_user() is None
    monkeypatch.setattr(getpass, "getuser", lambda: "\udcff")
    assert os_user() is None
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    assert os_user() == "alice"
