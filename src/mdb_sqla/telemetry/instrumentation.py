"""The tracer and the instruments of the application's OpenTelemetry SDK, if it has set one up."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from mdb_sqla.telemetry.instruments import Instruments

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["Instrumentation", "instrumentation"]

_SCOPE = "mdb_sqla"
_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_TRACE, _METRICS = "opentelemetry.trace", "opentelemetry.metrics"

# The module and the name of the global variable, and the function that returns it.
_TRACER_PROVIDER = (_TRACE, "_TRACER_PROVIDER", "get_tracer_provider")
_METER_PROVIDER = (f"{_METRICS}._internal", "_METER_PROVIDER", "get_meter_provider")

# If these are set, the API's functions create the providers.
_IS_FROM_ENVIRONMENT = not os.environ.keys().isdisjoint(
    {"OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER"}
)


class Instrumentation(NamedTuple):
    """What records; at least one of the two.

    Attributes:
        tracer: creates spans; None if the application has set no tracer provider.
        instruments: the metrics; None if the application has set no meter provider.
    """

    tracer: Tracer | None
    instruments: Instruments | None


_found: tuple[object, object, Instrumentation | None] = (None, None, None)


def instrumentation() -> Instrumentation | None:
    """Return what records spans and metrics, or None if nothing does.

    OpenTelemetry is not imported: an application that has set up an SDK has imported it already. It
    may set its providers at any time.
    """
    global _found
    modules = sys.modules
    if _TRACE not in modules and _METRICS not in modules:
        return None
    tracer_provider = _provider(modules, _TRACE, *_TRACER_PROVIDER)
    meter_provider = _provider(modules, _METRICS, *_METER_PROVIDER)
    known_tracer_provider, known_meter_provider, found = _found
    if tracer_provider is known_tracer_provider and meter_provider is known_meter_provider:
        return found
    found = _instrumentation(tracer_provider, meter_provider)
    _found = tracer_provider, meter_provider, found
    return found


def _provider(modules: dict[str, Any], api: str, module: str, name: str, function: str) -> Any:
    """Return a global provider, or None if there is none.

    The API's function looks for an environment variable each time. Looking at the global variable
    that it returns takes a tenth of that.
    """
    if not _IS_FROM_ENVIRONMENT:
        variables = getattr(modules.get(module), "__dict__", {})
        if name in variables:
            return variables[name]
    # Another thread may be importing the module.
    get = getattr(modules.get(api), function, None)
    return None if get is None else get()


def _instrumentation(tracer_provider: Any, meter_provider: Any) -> Instrumentation | None:
    from importlib.metadata import version

    tracer, instruments = None, None
    if _records(tracer_provider):
        tracer = tracer_provider.get_tracer(_SCOPE, version("mdb_sqla"), _SCHEMA_URL)
        if not _records(tracer):
            tracer = None
    if _records(meter_provider):
        meter = meter_provider.get_meter(_SCOPE, version("mdb_sqla"), _SCHEMA_URL)
        if _records(meter):
            instruments = Instruments(meter)
    if tracer is None and instruments is None:
        return None
    return Instrumentation(tracer, instruments)


def _records(provider: object) -> bool:
    """Return whether a provider, tracer or meter is that of an SDK.

    The API's own classes record nothing. They also stand in for an SDK that is not set up yet, or
    is disabled.
    """
    return provider is not None and not type(provider).__module__.startswith((_TRACE, _METRICS))
