"""The types of values in a relay configuration file.

Invalid values are rejected early, because they would otherwise look like an outage.
"""

from __future__ import annotations

import importlib
import os
import re
from operator import attrgetter
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = ["Function", "NatsUrl", "RabbitUrl", "RedisUrl", "Seconds", "Servers", "Setting", "Text"]

_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(:(?P<port>[0-9]+))?")
_MAX_PORT = 65_535


def _from_environment(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value[1:] not in os.environ:
        raise ValueError(f"environment variable {value[1:]} is not set")
    return os.environ[value[1:]]


def _imported(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"must be MODULE:FUNCTION ({error})") from error


def _callable(value: Any) -> Any:
    if not callable(value):
        raise ValueError("must be a function that takes a message")
    return value


def _setting(value: Any) -> Any:
    if not isinstance(value, str | int):
        raise ValueError("must be a string, an integer, or true or false")
    return value


def _servers(value: Any) -> list[str]:
    given = value if isinstance(value, list) else [value]
    found = [
        server.strip() if isinstance(server, str) else server
        for each in map(_from_environment, given)
        for server in (each.split(",") if isinstance(each, str) else [each])
    ]
    if not found or not all(isinstance(server, str) and _is_server(server) for server in found):
        raise ValueError("must be one or several HOST:PORT")
    return found


def _is_server(server: str) -> bool:
    match = _SERVER.fullmatch(server)
    if match is None:
        return False
    return match["port"] is None or 0 < int(match["port"]) <= _MAX_PORT


def _split(url: str) -> SplitResult:
    """Split a URL. Errors do not show it, because it may have a password."""
    try:
        parts = urlsplit(url)
        is_valid = parts.port != 0 and not re.search(r"\s", url)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("must be a valid URL")
    return parts


def _nats_url(url: str) -> str:
    parts = _split(url if "://" in url else f"nats://{url}")
    if parts.scheme not in {"nats", "tls", "ws", "wss"} or not parts.hostname:
        raise ValueError("must be a URL such as nats://HOST:PORT, or a list of them")
    return url


def _rabbitmq_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
        raise ValueError("must be a URL such as amqp://USER:PASSWORD@HOST:PORT/VHOST")
    return url


def _redis_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme in {"redis", "rediss"} and not re.fullmatch(r"/?[0-9]*", parts.path):
        # The client would use database 0.
        raise ValueError("must be a URL such as redis://HOST:PORT/DATABASE, with a number")
    return url


Text = Annotated[str, BeforeValidator(_from_environment), Field(min_length=1)]
"""A string; `$NAME` is read from the environment, to keep secrets out of the file."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number of seconds."""

Function = Annotated[Any, BeforeValidator(_imported), AfterValidator(_callable)]
"""A function, written as `MODULE:FUNCTION`."""

Setting = Annotated[Any, BeforeValidator(_from_environment), AfterValidator(_setting)]
"""A librdkafka setting."""

Servers = Annotated[list[str], BeforeValidator(_servers)]
"""Kafka servers, as a list or separated by commas."""

NatsUrl = Annotated[Text, AfterValidator(_nats_url)]
"""The URL of a NATS server."""

RabbitUrl = Annotated[Text, AfterValidator(_rabbitmq_url)]
"""The URL of a RabbitMQ virtual host."""

RedisUrl = Annotated[Text, AfterValidator(_redis_url)]
"""The URL of a Redis database."""
