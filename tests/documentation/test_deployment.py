"""The unit files and YAML of docs/how-to/deployment.md are valid, and name what exists."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from mdb_sqla.host import health_endpoint, lag_collection
from tests.documentation.test_commands import commands_in
from tests.documentation.test_snippets import blocks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deployment.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_commands() -> None:
    """All of them are found, for test_commands to check: units, Compose and Kubernetes."""
    services = [command.split()[1] for command in commands_in(TEXT)]

    assert services.count("host") == 3
    assert services.count("relay") == 3


def test_units() -> None:
    units = blocks(PAGE, "systemd")

    assert len(units) == 2
    for _, source in units:
        unit = configparser.RawConfigParser()
        unit.read_string(source)
        assert unit.sections() == ["Unit", "Service", "Install"]
        assert {"execstart", "restart", "timeoutstopsec", "workingdirectory"} <= {*unit["Service"]}


def test_yaml() -> None:
    yaml = pytest.importorskip("yaml")  # it has no types
    compose, kubernetes = (yaml.safe_load_all(source) for _, source in blocks(PAGE, "yaml"))
    (services,) = (document["services"] for document in compose)
    job, deployment = kubernetes
    pod: Any = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    port = container["ports"][0]["containerPort"]

    assert {"command", "environment", "image"} <= set.intersection(*map(set, services.values()))
    assert (job["kind"], deployment["kind"]) == ("Job", "Deployment")
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert container["command"][-1] == f"0.0.0.0:{port}"
    assert {container[probe]["periodSeconds"] for probe in ("readinessProbe", "livenessProbe")}


def test_probes() -> None:
    """They ask for what the host serves, and wait for longer than it may take."""
    routes = {route.path for route in health_endpoint._application(Mock(), Mock()).routes}  # type: ignore[attr-defined]

    paths = re.findall(r"(?:path: |http://127\.0\.0\.1:\d+)(/\w+)", TEXT)
    timeouts = re.findall(r"timeout(?:Seconds)?: (\d+)", TEXT)

    assert len(paths) == 3
    assert {*paths} <= routes
    assert len(timeouts) == 2
    assert min(map(int, timeouts)) > lag_collection.TIMEOUT
