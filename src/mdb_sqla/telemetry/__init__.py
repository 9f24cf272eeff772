"""OpenTelemetry: spans, metrics, and the trace context of messages. Needs an SDK to record any."""

from mdb_sqla.telemetry.instrumentation import Instrumentation, instrumentation
from mdb_sqla.telemetry.operation import NOT_RECORDED, NotRecorded, Operation
from mdb_sqla.telemetry.operation_kinds import (
    PROCESS,
    PUBLISH,
    READ,
    RECEIVE,
    SEND,
    OperationKind,
)
from mdb_sqla.telemetry.trace_context import (
    W3C_FIELDS,
    TextContext,
    carrier_of,
    context_of,
    extracted,
    fields,
    injected,
    own_properties,
)

__all__ = [
    "NOT_RECORDED",
    "PROCESS",
    "PUBLISH",
    "READ",
    "RECEIVE",
    "SEND",
    "W3C_FIELDS",
    "Instrumentation",
    "NotRecorded",
    "Operation",
    "OperationKind",
    "TextContext",
    "carrier_of",
    "context_of",
    "extracted",
    "fields",
    "injected",
    "instrumentation",
    "own_properties",
]
