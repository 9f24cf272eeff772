"""Changes that need a lock which blocks writers: attempted for short times, until they succeed."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from mdb_sqla.database.error_translation import translated
from mdb_sqla.database.lock_timeout import check_wait, is_lock_timeout
from mdb_sqla.errors import StoreBusy
from mdb_sqla.migrations.sql_files import checked_schema
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.argument_checks import instance

__all__ = ["in_schema", "with_brief_locks"]

_LOCK_TIMEOUT = 2.0  # seconds per attempt, during which new writers are blocked


def in_schema(engine: Engine, schema: str) -> Engine:
    """Return an engine for a schema, whose transactions are at READ COMMITTED.

    Raises:
        InvalidArgument: `engine` is not an Engine.
        InvalidSchemaName: the schema name is invalid.
    """
    # Overrides the engine's level: AUTOCOMMIT would release the lock too early.
    return instance("engine", engine, Engine).execution_options(
        schema_translate_map={SCHEMA: checked_schema(schema)}, isolation_level="READ COMMITTED"
    )


def with_brief_locks(
    engine: Engine, work: Callable[[Connection], object], *, wait: float, unchanged: str
) -> None:
    """Call a function in a transaction that acquires locks, until it succeeds.

    Args:
        engine: an engine.
        work: the function.
        wait: the timeout in seconds, over all attempts.
        unchanged: what was not changed, for the error.

    Raises:
        InvalidArgument: `wait` is not positive.
        StoreBusy: the locks were not acquired before the timeout.
    """
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
            with attempt, translated(), engine.begin() as connection:
                connection.execute(timeout)
                work(connection)
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise StoreBusy(
            f"{unchanged} was not changed: open write transactions did not end within "
            f"{wait:g} s; mdb summary shows them"
        ) from error
