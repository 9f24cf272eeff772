"""Values in the file of `mdb relay`; what can't be right is refused, or it would be waited for."""

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
_LARGEST_PORT = 65_535


def _from_environment(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value[1:] not in os.environ:
        raise ValueError(f"the environment has no variable {value[1:]}")
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
        raise ValueError("must be HOST:PORT, or several")
    return found


def _is_server(server: str) -> bool:
    match = _SERVER.fullmatch(server)
    if match is None:
        return False
    return match["port"] is None or 0 < int(match["port"]) <= _LARGEST_PORT


def _split(url: str) -> SplitResult:
    """Split an URL; what is wrong with it is told without any of it, as it may have a password."""
    try:
        parts = urlsplit(url)
        is_right = parts.port != 0 and not re.search(r"\s", url)
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError("is no address")
    return parts


def _nats_url(url: str) -> str:
    parts = _split(url if "://" in url else f"nats://{url}")
    if parts.scheme not in {"nats", "tls", "ws", "wss"} or not parts.hostname:
        raise ValueError("must be as in nats://HOST:PORT; several are a list")
    return url


def _rabbitmq_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
        raise ValueError("must be as in amqp://USER:PASSWORD@HOST:PORT/VHOST")
    return url


def _redis_url(url: str) -> str:
    parts = _split(url)
    if parts.scheme in {"redis", "rediss"} and not re.fullmatch(r"/?[0-9]*", parts.path):
        # The client would take database 0 for it.
        raise ValueError("must be as in redis://HOST:PORT/DATABASE, with a number")
    return url


Text = Annotated[str, BeforeValidator(_from_environment), Field(min_length=1)]
"""A string; `$NAME` is taken from the environment, so that secrets need not be in the file."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number of seconds."""

Function = Annotated[Any, BeforeValidator(_imported), AfterValidator(_callable)]
"""A function, by `MODULE:FUNCTION`."""

Setting = Annotated[Any, BeforeValidator(_from_environment), AfterValidator(_setting)]
"""A setting of librdkafka's."""

Servers = Annotated[list[str], BeforeValidator(_servers)]
"""Servers of Kafka, as a list, or with commas as its own tools have them."""

NatsUrl = Annotated[Text, AfterValidator(_nats_url)]
"""The address of a server of NATS."""

RabbitUrl = Annotated[Text, AfterValidator(_rabbitmq_url)]
"""The address of a virtual host of RabbitMQ."""

RedisUrl = Annotated[Text, AfterValidator(_redis_url)]
"""The address of a database of Redis."""
