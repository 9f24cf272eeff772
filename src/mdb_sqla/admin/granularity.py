"""Show and choose what writers lock: their streams, or their categories."""

from __future__ import annotations

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from mdb_sqla import functions
from mdb_sqla.database.lock_timeout import check_wait, is_lock_timeout
from mdb_sqla.database.refusals import translated
from mdb_sqla.errors import StoreBusy
from mdb_sqla.migrations.sql_files import DEFAULT_SCHEMA, checked_schema
from mdb_sqla.tables import SCHEMA
from mdb_sqla.words.lock_granularity import LockGranularity

__all__ = ["LockGranularity", "lock_granularity", "set_lock_granularity"]

_BEHIND_THE_BARRIER = 2.0  # seconds that new writers may wait for those the barrier waits for


def lock_granularity(engine: Engine, *, schema: str = DEFAULT_SCHEMA) -> LockGranularity:
    """Return what writers lock now.

    Raises:
        StoreNotInstalled: there is no store in the schema, or it is not up to date.
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
    """Choose what writers lock, for the whole store; nothing changes for clients.

    It waits until every transaction that has written has ended. New writers wait with it, though
    never for more than two seconds at a time: then it lets them go ahead, and tries again.

    Args:
        engine: connects as the owner of the store.
        granularity: `category` or `stream`.
        schema: the schema of the store.
        wait: for how many seconds to try.

    Raises:
        InvalidArgument: the granularity is none, or `wait` is not more than 0.
        StoreBusy: transactions that write have not ended in that time; nothing was changed.
        StoreNotInstalled: there is no store in the schema, or it is not up to date.
    """
    chosen = LockGranularity(granularity)
    check_wait(wait)
    # At least a millisecond: 0 would be for ever.
    milliseconds = max(1, round(1000 * min(wait, _BEHIND_THE_BARRIER)))
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
            f"The lock granularity was not changed: for {wait:g} s there was always a transaction "
            "open that had written to the store; mdb summary shows which"
        ) from error


def _in_schema(engine: Engine, schema: str) -> Engine:
    # Whatever the engine's own level is: AUTOCOMMIT would let go of the barrier too early.
    return engine.execution_options(
        schema_translate_map={SCHEMA: checked_schema(schema)}, isolation_level="READ COMMITTED"
    )
