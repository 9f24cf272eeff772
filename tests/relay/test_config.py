"""The file of `mdb relay`, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mdb_sqla.relay.config import InvalidRelayConfig, RelayConfig, read_config

NATS = '[relays.orders.nats]\nurl = "nats://localhost"\nstream = "ORDERS"\n'

BROKERS = {
    "nats": 'url = "nats://localhost"\nstream = "ORDERS"\nsubject = "json:dumps"',
    "rabbitmq": 'url = "amqp://localhost"\nexchange = "orders"\nmax_message_size = 1000',
    "redis": 'url = "redis://localhost"\nmaxlen = 1000',
    "kafka": 'bootstrap_servers = ["a:9092", "b:9092"]',
    "confluent": 'bootstrap_servers = "a:9092"\nconfig = { "linger.ms" = 5 }',
}


def read(tmp_path: Path, text: str) -> RelayConfig:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    return read_config(file)


@pytest.mark.parametrize("broker", BROKERS)
def test_each_broker(tmp_path: Path, broker: str) -> None:
    told = read(tmp_path, f"[relays.orders.{broker}]\n{BROKERS[broker]}")
    relay = told.relays["orders"].relay("orders")

    assert relay.name == "orders"
    assert relay.categories == ()
    assert relay.sharing == "alone"


@pytest.mark.parametrize("broker", ["kafka", "confluent"])
@pytest.mark.parametrize(
    "servers", ['"a:1, b:2"', '["a:1", "b:2"]', '"$SERVERS"', '["$SERVERS"]', '["a:1", "$B"]']
)
def test_several_servers_of_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str, servers: str
) -> None:
    monkeypatch.setenv("SERVERS", "a:1,b:2")
    monkeypatch.setenv("B", "b:2")
    told = read(tmp_path, f"[relays.orders.{broker}]\nbootstrap_servers = {servers}")
    assert getattr(told.relays["orders"], broker).bootstrap_servers == ["a:1", "b:2"]


@pytest.mark.parametrize("server", ["a", "kafka-1.example.com:9092", "[::1]:9092", "10.0.0.1:9092"])
def test_a_server_of_kafka(tmp_path: Path, server: str) -> None:
    told = read(tmp_path, f'[relays.orders.kafka]\nbootstrap_servers = "{server}"')
    assert told.relays["orders"].relay("orders").name == "orders"


@pytest.mark.parametrize(
    "url",
    ["localhost", "h:4222", "nats://u:p@h", "tls://h:4443", "wss://h/path", "nats://[::1]:4222"],
)
def test_a_server_of_nats(tmp_path: Path, url: str) -> None:
    told = read(tmp_path, f'[relays.orders.nats]\nurl = "{url}"\nstream = "S"')
    assert told.relays["orders"].relay("orders").name == "orders"


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://u:p@h:1/3", "redis://h/", "unix:///tmp/redis.sock?db=1"]
)
def test_a_database_of_redis(tmp_path: Path, url: str) -> None:
    told = read(tmp_path, f'[relays.orders.redis]\nurl = "{url}"')
    assert told.relays["orders"].relay("orders").name == "orders"


def test_everything_about_a_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", "postgresql://localhost/shop")
    monkeypatch.setenv("SHOP_CATEGORY", "invoice")
    told = read(
        tmp_path,
        'url = "$SHOP_URL"\nschema = "events"\n[relays.orders]\n'
        'categories = ["order", "$SHOP_CATEGORY"]\n'
        'types = ["Placed"]\nmax_in_flight = 7\ntimeout = 3.5\non_failure = "dead_letter"\n'
        "group = { slots = 4, lease = 5.0 }\nretry_policy = { max_attempts = 2 }\n"
        f'cloud_events = {{ source = "/shop" }}\n{NATS}',
    )
    relay = told.relays["orders"].relay("orders")

    assert told.url == "postgresql://localhost/shop"
    assert told.schema_name == "events"
    assert relay.categories == ("order", "invoice")
    assert relay.handlers.names == {"Placed": "JetStream ORDERS"}
    assert relay.sharing.endswith("4 slots")
    settings = relay._settings
    assert (settings.max_in_flight, settings.on_failure) == (7, "dead_letter")
    assert settings.retry_policy.max_attempts == 2
    assert settings.retry_policy.max_interval == 5.0


def test_a_relay_that_starts_with_what_is_left(tmp_path: Path) -> None:
    told = read(tmp_path, f'[relays.orders]\nstart = "earliest"\n{NATS}')

    assert told.relays["orders"].relay("orders")._settings.skips_deleted


@pytest.mark.parametrize("start", ["-1", '"latest"', "true"])
def test_a_start_that_is_none(tmp_path: Path, start: str) -> None:
    told = read(tmp_path, f"[relays.orders]\nstart = {start}\n{NATS}")

    with pytest.raises(InvalidRelayConfig, match=r"relays\.orders: start must be an integer"):
        told.relays["orders"].relay("orders")


WRONG: list[Any] = [
    ("", "relays: Field required"),
    ("url = 7\n" + NATS, "url: Input should be a valid string"),
    ("colour = 1\n" + NATS, "colour: unknown key"),
    (NATS + "durable = 1", "relays.orders.nats.durable: unknown key"),
    (
        "[relays.orders]\nmax_in_flight = 0\n" + NATS,
        "relays.orders.max_in_flight: .*greater than 0, got 0",
    ),
    ("[relays.orders]\nmax_in_flight = '9'\n" + NATS, "max_in_flight: .*valid integer, got '9'"),
    ("[relays.orders]\ncategories = 'order'\n" + NATS, "categories: .*valid list, got 'order'"),
    ("[relays.orders]\n", "relays.orders: must have exactly one broker table: nats, rabbitmq"),
    (
        NATS + "[relays.orders.redis]\nurl = 'redis://x'",
        "relays.orders: must have exactly one broker",
    ),
    ("[relays.orders.nats]\nurl = 'nats://x'", "relays.orders.nats.stream: Field required"),
    ("[relays.orders.nats]\nurl = '$NOWHERE'\nstream = 'S'", "variable NOWHERE is not set"),
    (NATS + "subject = 'json:nothing'", "subject: must be MODULE:FUNCTION .*, got 'json:nothing'"),
    (NATS + "subject = 'json:__name__'", "subject: must be a function that takes a message"),
    *(
        (
            f"[relays.a.kafka]\nbootstrap_servers = {servers}",
            "servers: must be one or several HOST:PORT",
        )
        for servers in ("'a:1,'", "7", "[]", "[7]", "'a:x'", "'a:0'", "'a:65536'", "'http://a:1'")
    ),
    *(
        (
            f"[relays.a.nats]\nurl = '{url}'\nstream = 'S'",
            "nats.url.*: must be a (valid )?URL",
        )
        for url in ("nats://a:1,nats://b:2", "nats://h:x", "foo bar", "http://a", "nats://:4222")
    ),
    ("[relays.a.nats]\nurl = []\nstream = 'S'", "nats.url.*: .*at least 1 item"),
    (
        "[relays.a.redis]\nurl = 'redis://h/orders'",
        "redis.url: must be a URL such as redis://HOST:PORT/DATA",
    ),
    *(
        (
            f"[relays.a.rabbitmq]\nurl = '{url}'",
            "rabbitmq.url: must be a (valid URL|URL such as amqp)",
        )
        for url in ("localhost:5672", "http://h", "amqp://", "amqp://h:0/", "amqp://h:x")
    ),
    ("[relays.orders]\ntimeout = inf\n" + NATS, "timeout: Input should be a finite number"),
    (
        "[relays.a.confluent]\nbootstrap_servers = 'a'\nconfig = { a = 1.5 }",
        "config.a: must be a str",
    ),
    ("[relays", "Can't read "),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidRelayConfig, match=told):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidRelayConfig, match="Can't read"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "text",
    [
        'url = ["secret"]\n[relays.a.confluent]\nbootstrap_servers = 3\n'
        'config = { "sasl.password" = ["secret"] }',
        '[[relays]]\n[relays.a.nats]\nurl = "nats://u:secret@h"',
        '[[relays.a]]\n[relays.a.nats]\nurl = "nats://u:secret@h"',
        '[[relays.a.nats]]\nurl = "nats://u:secret@h"',
        '[relays.a]\nnats = "nats://u:secret@h"',
        '[relays]\na = "nats://u:secret@h"',
        'relays = "nats://u:secret@h"',
    ],
)
def test_no_password_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRelayConfig) as error:
        read(tmp_path, text)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("broker", "url"),
    [
        ("redis", "u:secret@h"),
        ("redis", "redis://u:secret/@h"),
        ("rabbitmq", "amqp://u:secret/@h"),
    ],
)
def test_an_address_that_is_none(tmp_path: Path, broker: str, url: str) -> None:
    with pytest.raises(InvalidRelayConfig, match=r"valid URL|invalid address or settings") as error:
        read(tmp_path, f'[relays.orders.{broker}]\nurl = "{url}"').relays["orders"].relay("orders")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('"linger" = 5', 'No such configuration property: "linger"'),
        ('"message.timeout.ms" = "secret"', "Invalid value for configuration property"),
        ('"enable.gapless.guarantee" = true', "requires `enable.idempotence` to be enabled"),
        ('"error_cb" = "x"', "expected error_cb property as a callable"),
        ('"compression.codec" = "nope"', "'nope' is not a valid CompressionCodec"),
        ('"acks" = 1', "could be lost with acks = 1: set it to all"),
        ('"acks" = "0"', "could be lost with acks = 0"),
        ('"request.required.acks" = 0', "could be lost with request.required.acks = 0"),
        ('"enable.idempotence" = "false", "acks" = 1', "could be lost with acks = 1"),
        ('"delivery.report.only.error" = true', "No message would be confirmed"),
        ('"transactional.id" = "x"', "No message would be confirmed with transactional.id = x"),
    ],
)
def test_settings_that_librdkafka_does_not_take(tmp_path: Path, settings: str, why: str) -> None:
    told = read(
        tmp_path,
        f'[relays.orders.confluent]\nbootstrap_servers = "a:1"\nidempotent = false\n'
        f"config = {{ {settings} }}",
    )
    with pytest.raises(InvalidRelayConfig, match=why) as error:
        told.relays["orders"].relay("orders")
    assert "relays.orders: " in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("option", ["nonsense=1", "single_connection_client=true"])
def test_options_that_redis_does_not_have(tmp_path: Path, option: str) -> None:
    told = read(tmp_path, f'[relays.orders.redis]\nurl = "redis://h?{option}"')
    with pytest.raises(InvalidRelayConfig, match=f"relays.orders: Redis: .*{option[:7]}"):
        told.relays["orders"].relay("orders")


@pytest.mark.parametrize("protocol", ["SSL", "ssl"])
def test_settings_for_tls(tmp_path: Path, protocol: str) -> None:
    told = read(
        tmp_path,
        f'[relays.orders.confluent]\nbootstrap_servers = "a:1"\n'
        f'config = {{ "security.protocol" = "{protocol}", "delivery.report.only.error" = false }}',
    )
    assert told.relays["orders"].relay("orders").name == "orders"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("retry_policy = { initial_interval = 9.0, max_interval = 1.0 }", "initial_interval"),
        ('types = ["A", "A"]', "A"),
    ],
)
def test_what_a_relay_does_not_take(tmp_path: Path, lines: str, why: str) -> None:
    told = read(tmp_path, f"[relays.orders]\n{lines}\n{NATS}")
    with pytest.raises(InvalidRelayConfig, match=f"relays.orders: .*{why}"):
        told.relays["orders"].relay("orders")
