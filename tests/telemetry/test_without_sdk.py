"""Without an SDK, or without OpenTelemetry at all, nothing is recorded, added or imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import URL

USE = """
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker
from mdb_sqla import Consumer, Message, MessageStore, write_on_commit

engine = create_engine(sys.argv[1])

def use():
    with Session(engine) as session:
        write_on_commit(session, "order-1", Message("Placed", 1))
        MessageStore(session).write("order-2", Message("Placed", 2))
        session.commit()
    consumer = Consumer(f"billing", "order")
    consumer.on()(lambda message, unit: print(message.metadata))
    consumer.catch_up(sessionmaker(engine))
"""

BLOCKED = """
import sys
sys.modules["opentelemetry"] = None
"""

LISTED = """
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""

SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""


def run(code: str, database: URL, **environment: str) -> list[str]:
    import os

    url = database.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, url],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    ).stdout.splitlines()


def test_without_the_package(database: URL) -> None:
    assert run(f"{BLOCKED}{USE}\nuse()", database) == ["{}", "{}"]


def test_nothing_is_imported(database: URL) -> None:
    assert run(f"import sys\n{USE}\nuse()\n{LISTED}", database) == ["{}", "{}", "[]"]


@pytest.mark.parametrize(
    "imports", ["opentelemetry.trace", "opentelemetry.metrics", "opentelemetry.sdk.trace"]
)
def test_without_a_provider(database: URL, imports: str) -> None:
    assert run(f"import sys, {imports}\n{USE}\nuse()", database) == ["{}", "{}"]


def test_a_disabled_sdk(database: URL) -> None:
    """As operators turn it off."""
    code = f"import sys\n{SDK}{USE}\nuse()"
    assert run(code, database, OTEL_SDK_DISABLED="true") == ["{}", "{}"]


def test_an_sdk_that_is_set_up_late(database: URL) -> None:
    """After the first use of this package, which has then found none."""
    code = f"import sys, opentelemetry.trace\n{USE}\nuse()\n{SDK}\nuse()\n"
    code += "print(sorted(span.name for span in exporter.get_finished_spans()))"
    *metadata, names = run(code, database)
    assert metadata[:2] == ["{}", "{}"]
    assert ["traceparent" in each for each in metadata[2:]] == [True, True]
    assert names == str(["process order"] * 2 + ["send order"] * 2)
