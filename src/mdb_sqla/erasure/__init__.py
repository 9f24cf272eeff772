"""Erasing the messages of a stream, and forgetting the key of a subject."""

from mdb_sqla.erasure.stream import ERASED, Erasure, erase_stream
from mdb_sqla.erasure.subject import forget_subject

__all__ = ["ERASED", "Erasure", "erase_stream", "forget_subject"]
