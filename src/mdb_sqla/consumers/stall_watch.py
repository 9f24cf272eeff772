from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from mdb_sqla.consumers.loop_operations import Interrupted, Operation, Transact
from mdb_sqla.consumers.open_transactions import LONG, holding_back
from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.consumers.run_control import log
from mdb_sqla.words.stream_name import StreamName

__all__ = ["StallWatch"]

_FIRST, _LONGEST = 10.0, 60.0  # seconds between two checks, doubled each time


class StallWatch:
    """Logs which open transactions hold a consumer back while it finds no messages.

    Args:
        consumer: the consumer's name.
        categories: the categories that it reads; empty for all.
    """

    def __init__(self, consumer: str, categories: Sequence[StreamName]) -> None:
        self._consumer = consumer
        self._categories = categories
        self.reset()

    def reset(self) -> None:
        """Restart the timer: the consumer has found messages."""
        self._pause = _FIRST
        self._check_at = time.monotonic() + _FIRST

    def check(self, position: int) -> Generator[Operation, Any, None]:
        """Check, if it is due, which transactions hold readers back at a position."""
        if time.monotonic() < self._check_at:
            return
        self._pause = min(2 * self._pause, _LONGEST)
        self._check_at = time.monotonic() + self._pause
        check = partial(holding_back, categories=self._categories, position=position, at_least=LONG)
        try:
            writers: list[OpenWriter] = yield Transact(check)
        except Exception as error:
            # The consumer continues without the check.
            log(
                logging.WARNING,
                self._consumer,
                "consumer.stall_check_failed",
                "could not check which transactions hold it back",
                error=error,
            )
            if not isinstance(error, Interrupted):
                # The role may lack the privilege.
                self._check_at = math.inf
        else:
            for writer in writers:
                log(
                    logging.WARNING,
                    self._consumer,
                    "consumer.held_back",
                    "is %s",
                    writer,
                    position=writer.position,
                    pid=writer.pid,
                    gid=writer.gid,
                    seconds=writer.seconds,
                )
