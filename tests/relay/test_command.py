"""`mdb relay` as a process: what it runs and tells, and what becomes of it when it is killed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, text

from tests.cli.test_mdb import mdb
from tests.relay.relays import MAIN, Relays
from tests.waiting import wait_until

PATIENCE = 60.0  # seconds


def test_killed_between_the_confirm_and_the_position(
    shop: Any, receiving: Any, relays: Relays
) -> None:
    first = relays.start()
    shop.write(1, "zero")
    # Now it only waits for messages, and needs no lock before it publishes them.
    wait_until(lambda: shop.position() == 1, PATIENCE)
    with shop.engine.connect() as connection:
        # The position can't be saved until this transaction ends.
        connection.execute(text("SELECT FROM message_store.consumer_slots FOR UPDATE"))
        shop.write(1, "one", "two")
        wait_until(lambda: len(shop.run(receiving.received())) >= 3, PATIENCE)
        first.kill()
        first.wait()
    assert shop.position() == 1
    second = relays.start()
    wait_until(lambda: shop.position() == 3, PATIENCE)
    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE) == 0

    places = [told.place[1] for told in shop.run(receiving.received())]
    # JetStream drops what it has already; others have it twice, and in order.
    assert places == ([0, 1, 2] if receiving.option == "subject" else [0, 1, 2, 1, 2])


def test_told_to_end_while_the_broker_hangs(shop: Any, receiving: Any, relays: Relays) -> None:
    relays.configure("timeout = 1.0")
    process = relays.start()
    shop.write(1, "one")
    wait_until(lambda: shop.position() == 1, PATIENCE)
    receiving.server.pause()
    shop.write(1, "two")
    wait_until(lambda: "is blocked" in relays.log, PATIENCE)
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert shop.position() == 1


@pytest.mark.parametrize("receiving", ["nats"], indirect=True)
def test_it_tells_how_far_it_is(shop: Any, receiving: Any, relays: Relays) -> None:
    shop.write(1, "one")
    process = relays.start("--http", "0")
    wait_until(lambda: shop.position() == 1, PATIENCE)

    (address,) = re.findall(r"http://127\.0\.0\.1:\d+/health", relays.log)
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        told = json.load(answer)
    (relay,) = told["consumers"]
    assert relay["name"] == "relay"
    assert relay["handlers"] == {"*": f"JetStream {shop.category}"}
    assert relay["lag"]["messages"] == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    shop.write(1, "two")
    (row,) = json.loads(mdb("consumers", "--json", url=shop.database).stdout)["consumers"]
    assert row["name"] == "relay"
    assert row["lag"]["messages"] == 1


def test_a_file_that_is_wrong(tmp_path: Path, database: URL) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[relays.a]\nmax_in_flight = 0")
    told = mdb("relay", str(file), url=database, code=2).stderr
    assert "relays.a.max_in_flight: Input should be greater than 0, got 0" in told
    assert "Traceback" not in told


def test_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MDB_DATABASE_URL", raising=False)
    file = tmp_path / "relay.toml"
    file.write_text('[relays.a.redis]\nurl = "redis://localhost"')
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "relay", str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "No database URL: pass --url" in done.stderr


@pytest.mark.parametrize("receiving", ["nats"], indirect=True)
def test_any_character(
    shop: Any, receiving: Any, relays: Relays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment has an encoding for clients of the database."""
    shop.write(1, "\N{SNOWMAN}")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    process = relays.start()
    wait_until(lambda: shop.position() == 1 or process.poll() is not None, PATIENCE)

    (told,) = shop.run(receiving.received())
    assert json.loads(told.body) == "\N{SNOWMAN}"
