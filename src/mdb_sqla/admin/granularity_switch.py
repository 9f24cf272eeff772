"""The lock granularity of a store."""

from __future__ import annotations

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from mdb_sqla import functions
from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.lock_timeout import check_wait, is_lock_timeout
from mdb_sqla.errors import StoreBusy
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.argument_checks import instance
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["LockGranularity", "lock_granularity", "set_lock_granularity"]

_LOCK_TIMEOUT = 2.0  # seconds per attempt, during which new writers are blocked


def lock_granularity(engine: Engine, *, schema: str = DEFAULT_SCHEMA) -> LockGranularity:
    """Return the lock granularity of a store.

    Raises:
        StoreNotInstalled: the schema has no store, or the store is not up to date.
    """
    with translated(), _in_schema(engine, schema).connect() as connection:
        return LockGranularity(connection.scalar(select(functions.lock_granularity())) or "")


def set_lock_granularity(
    engine: Engine,
    granularity: LockGranularity | str,
    *,
    schema: str = DEFAULT_SCHEMA,
    wait: float = 60.0,
) -> None:
    """Set the lock granularity of a store. Clients need no change.

    Waits for all open write transactions to end. New writers are blocked while it waits, but for at
    most two seconds at a time: then it lets them proceed, and retries.

    Args:
        engine: an engine that connects as the owner of the store.
        granularity: `category` or `stream`.
        schema: the schema of the store.
        wait: the timeout in seconds.

    Raises:
        InvalidArgument: the granularity is invalid, or `wait` is not positive.
        StoreBusy: write transactions did not end before the timeout. Nothing was changed.
        StoreNotInstalled: the schema has no store, or the store is not up to date.
    """
    chosen = LockGranularity(granularity)
    check_wait(wait)
    # At least a millisecond: 0 would disable the timeout.
    milliseconds = max(1, round(1000 * min(wait, _LOCK_TIMEOUT)))
    timeout = text(f"SET LOCAL lock_timeout = {milliseconds}")
    attempts = Retrying(
        retry=retry_if_exception(is_lock_timeout),
        stop=stop_after_delay(wait),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        reraise=True,
    )
    try:
        for attempt in attempts:
            with attempt, translated(), _in_schema(engine, schema).begin() as connection:
                connection.execute(timeout)
                connection.execute(select(functions.set_lock_granularity(chosen.value)))
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise StoreBusy(
            "The lock granularity was not changed: open write transactions did not end within "
            f"{wait:g} s; mdb summary shows them"
        ) from error


def _in_schema(engine: Engine, schema: str) -> Engine:
    # Overrides the engine's level: AUTOCOMMIT would release the lock too early.
    return instance("engine", engine, Engine).execution_options(
        schema_translate_map={SCHEMA: checked_schema(schema)}, isolation_level="READ COMMITTED"
    )
