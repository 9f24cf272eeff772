"""The message store: `MessageStore`, `AsyncMessageStore`, reads and writes."""

from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore

__all__ = ["AsyncMessageStore", "MessageStore"]
