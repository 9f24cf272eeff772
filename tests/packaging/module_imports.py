"""A program: imports each of these modules of the package where it is the first of them.

It writes the error of each as JSON, or '' for one that can be imported.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

# What takes time. Alembic would import the package.
import asyncpg  # type: ignore[import-untyped]  # noqa: F401
import faststream  # noqa: F401
import psycopg  # noqa: F401
import pydantic  # noqa: F401
import rich.console
import rich.table  # noqa: F401
import sqlalchemy.dialects.postgresql
import sqlalchemy.ext.asyncio
import sqlalchemy.orm  # noqa: F401
import typer  # noqa: F401

NAMES = sys.argv[1:]


def errors_of(name: str) -> dict[str, str]:
    """Import a module in a process of its own, and then those below it, each in a child of that.

    Whoever imports a module imports the packages above it first, so they need not be imported again
    for each.
    """
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        try:
            __import__(name)
            errors = {name: "", **errors_below(name)}
        except BaseException:
            errors = of_all(name, traceback.format_exc()[-4000:])
        with os.fdopen(writing, "w") as answer:
            json.dump(errors, answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    if os.waitpid(child, 0)[1]:
        return of_all(name, "The process ended.")
    found: dict[str, str] = json.loads(said)
    return found


def errors_below(package: str) -> dict[str, str]:
    errors: dict[str, str] = {}
    for name in NAMES:
        if name.rpartition(".")[0] == package:
            errors |= errors_of(name)
    return errors


def of_all(package: str, error: str) -> dict[str, str]:
    """Give an error to a module and all below it."""
    return {name: error for name in NAMES if f"{name}.".startswith(f"{package}.")}


if __name__ == "__main__":
    assert not {"alembic", "mdb_sqla"} & sys.modules.keys()
    json.dump(errors_of("mdb_sqla"), sys.stdout)
