"""Log records about messages that a consumer skips, fails to handle or dead-letters."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from mdb_sqla.consumers.claims import Claim
from mdb_sqla.consumers.loop_operations import Failure
from mdb_sqla.consumers.run_control import log
from mdb_sqla.words.message import StoredMessage

__all__ = ["log_attempt", "log_dead_letters", "log_erased"]


def log_attempt(consumer: str, slot: int, failure: Failure, max_attempts: int) -> None:
    """Log that an attempt to handle a message has failed."""
    message, error, attempt = failure
    log(
        logging.WARNING,
        consumer,
        "consumer.attempt_failed",
        "could not handle message %d of type %s (attempt %d of %d)",
        message.global_position,
        message.type,
        attempt,
        max_attempts,
        error=error,
        slot=slot,
        category=_category(message),
        type=message.type,
        position=message.global_position,
        attempt=attempt,
        max_attempts=max_attempts,
    )


def log_dead_letters(claim: Claim, failures: Iterable[Failure]) -> None:
    """Log the messages that have been added to the dead-letter queue, without those behind them."""
    for message, _, attempts in failures:
        log(
            logging.WARNING,
            claim.consumer,
            "consumer.dead_lettered",
            "dead-lettered message %d of type %s after %d attempts",
            message.global_position,
            message.type,
            attempts,
            slot=claim.slot,
            category=_category(message),
            type=message.type,
            position=message.global_position,
            attempts=attempts,
        )


def log_erased(claim: Claim, positions: Sequence[int]) -> None:
    """Log the global positions of messages that are skipped because they were erased."""
    if positions:
        log(
            logging.INFO,
            claim.consumer,
            "consumer.erased_skipped",
            "skips %d erased messages, from %d to %d",
            len(positions),
            positions[0],
            positions[-1],
            slot=claim.slot,
            messages=len(positions),
            first_position=positions[0],
            last_position=positions[-1],
        )


def _category(message: StoredMessage) -> str:
    return message.stream_name.partition("-")[0]
