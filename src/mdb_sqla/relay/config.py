"""Relays from a TOML file. Requires the extra of a broker, which installs pydantic."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt, ValidationError, model_validator

from mdb_sqla.consumers.group import Group
from mdb_sqla.consumers.retry_policy import RetryPolicy
from mdb_sqla.consumers.settings import OnFailure
from mdb_sqla.errors import InvalidArgument
from mdb_sqla.relay.broker_config import (
    ConfluentTable,
    KafkaTable,
    NatsTable,
    RabbitTable,
    RedisTable,
    Table,
)
from mdb_sqla.relay.cloud_events import CloudEvents
from mdb_sqla.relay.config_values import Seconds, Text
from mdb_sqla.relay.relay import Relay

__all__ = [
    "CloudEventsTable",
    "GroupTable",
    "InvalidRelayConfig",
    "RelayConfig",
    "RelayTable",
    "RetryPolicyTable",
    "read_config",
]


class InvalidRelayConfig(InvalidArgument):
    """An invalid relay configuration file."""


class GroupTable(Table):
    """See `Group`."""

    slots: PositiveInt = 16
    lease: Seconds = 10.0


class RetryPolicyTable(Table):
    """See `RetryPolicy`."""

    max_attempts: PositiveInt = 5
    initial_interval: Seconds = 0.1
    max_interval: Seconds = 5.0


class CloudEventsTable(Table):
    """See `CloudEvents`."""

    source: Text
    type_prefix: Text = ""


_SECRETS = {"url", "config", "bootstrap_servers"}
_BROKERS = ("nats", "rabbitmq", "redis", "kafka", "confluent")
_TABLES = {(name,) for name in _BROKERS}


class RelayTable(Table):
    """A relay with its broker. See `Relay`."""

    categories: list[Text] = Field(default_factory=list)
    types: list[Text] = Field(default_factory=list)
    start: Any = 1  # `Relay` checks it
    max_in_flight: PositiveInt = 500
    batch_size: PositiveInt = 1000
    timeout: Seconds = 10.0
    on_failure: OnFailure = "stop"
    group: GroupTable | None = None
    retry_policy: RetryPolicyTable | None = None
    cloud_events: CloudEventsTable | None = None
    nats: NatsTable | None = None
    rabbitmq: RabbitTable | None = None
    redis: RedisTable | None = None
    kafka: KafkaTable | None = None
    confluent: ConfluentTable | None = None

    @model_validator(mode="after")
    def _one_broker(self) -> RelayTable:
        if len(self._brokers()) != 1:
            raise ValueError(f"must have exactly one broker table: {', '.join(_BROKERS)}")
        return self

    def _brokers(self) -> list[Any]:
        return [found for name in _BROKERS if (found := getattr(self, name)) is not None]

    def relay(self, name: str) -> Relay:
        """Return the relay.

        Raises:
            InvalidRelayConfig: `Relay` or the broker's client rejects a value.
            ImportError: the broker's extra is not installed.
        """
        (broker,) = self._brokers()
        given = self.given("types", "start", "max_in_flight", "batch_size", "timeout", "on_failure")
        tables = {
            "group": (Group, self.group),
            "retry_policy": (RetryPolicy, self.retry_policy),
            "cloud_events": (CloudEvents, self.cloud_events),
        }
        try:
            for argument, (kind, table) in tables.items():
                if table is not None:
                    given[argument] = kind(**table.model_dump())
            return Relay(name, *self.categories, to=broker.target(), **given)
        except InvalidArgument as error:
            raise InvalidRelayConfig(f"relays.{name}: {error}") from error
        except ValueError as error:
            # The error may contain the URL, which can have a password.
            raise InvalidRelayConfig(
                f"relays.{name}: invalid address or settings of the broker"
            ) from error


class RelayConfig(Table):
    """The configuration of `mdb relay`.

    Attributes:
        url: the database URL; None if it comes from the environment or the command line.
        schema_name: the schema of the store.
        relays: the relays by name.
    """

    url: Text | None = None
    schema_name: Annotated[Text, Field(alias="schema")] = "message_store"
    relays: Annotated[dict[str, RelayTable], Field(min_length=1)]


def read_config(file: Path) -> RelayConfig:
    """Read relays from a file.

    Raises:
        InvalidRelayConfig: the file can't be read, is not TOML, or has an invalid value.
    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRelayConfig(f"Can't read {file}: {error}") from error
    try:
        return RelayConfig.model_validate(values)
    except ValidationError as error:
        lines = "\n".join(_line(each) for each in error.errors(include_url=False))
        raise InvalidRelayConfig(f"{file} is not a valid relay configuration:\n{lines}") from error


def _line(error: Any) -> str:
    where = ".".join(map(str, error["loc"])) or "the file"
    if error["type"] == "extra_forbidden":
        return f"  {where}: unknown key"
    rule = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    return f"  {where}: {rule}" if _is_hidden(error) else f"  {where}: {rule}, got {value!r}"


def _is_hidden(error: Any) -> bool:
    """Return whether to hide a value, because it may contain passwords or is a table."""
    where, value = error["loc"], error["input"]
    values = value if isinstance(value, list) else [value]
    # A URL may have been passed instead of a table.
    return (
        not all(isinstance(each, str | int | float) for each in values)
        or not _SECRETS.isdisjoint(map(str, where))
        or (where[:1] == ("relays",) and (len(where) < 3 or where[2:] in _TABLES))
    )
