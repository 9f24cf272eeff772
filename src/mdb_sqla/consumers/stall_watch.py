from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from mdb_sqla.consumers.open_writer import OpenWriter
from mdb_sqla.consumers.operations import Interrupted, Step, Transact
from mdb_sqla.consumers.retries import log
from mdb_sqla.consumers.write_transactions import LONG, holding_back
from mdb_sqla.words.stream_name import StreamName

__all__ = ["StallWatch"]

_FIRST, _LONGEST = 10.0, 60.0  # seconds between two looks, doubled each time


class StallWatch:
    """Logs, while a consumer finds nothing, which open transactions hold it back.

    Args:
        consumer: the consumer's name.
        categories: what it reads; nothing stands for all categories.
    """

    def __init__(self, consumer: str, categories: Sequence[StreamName]) -> None:
        self._consumer = consumer
        self._categories = categories
        self.reset()

    def reset(self) -> None:
        """Begin anew: the consumer has found something."""
        self._pause = _FIRST
        self._look_at = time.monotonic() + _FIRST

    def look(self, position: int) -> Generator[Step, Any, None]:
        """Look, where it is time to, who keeps it from what lies beyond a position."""
        if time.monotonic() < self._look_at:
            return
        self._pause = min(2 * self._pause, _LONGEST)
        self._look_at = time.monotonic() + self._pause
        look = partial(holding_back, categories=self._categories, position=position, at_least=LONG)
        try:
            writers: list[OpenWriter] = yield Transact(look)
        except Exception as error:
            # That keeps no consumer from its work.
            log(logging.WARNING, self._consumer, "can't see who holds it back", error=error)
            if not isinstance(error, Interrupted):
                # It may not be allowed to.
                self._look_at = math.inf
        else:
            for writer in writers:
                log(logging.WARNING, self._consumer, "is %s", writer)
