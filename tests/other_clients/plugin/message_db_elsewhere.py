"""A plugin of pytest with which the tests of message-db-py find another server.

They connect to localhost:5432, and no setting changes that: the address is written in their
conftest and in two modules. On that port there may be nothing, or another server; so whatever they
connect to, psycopg2 looks for it on the server that PGHOST and PGPORT name.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2

_connect = psycopg2.connect


def connect(*arguments: Any, **options: Any) -> Any:
    server = {"host": os.environ["PGHOST"], "port": os.environ["PGPORT"]}
    return _connect(*arguments, **{**options, **server})


psycopg2.connect = connect
