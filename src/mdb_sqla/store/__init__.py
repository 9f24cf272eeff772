"""Reading and writing messages: `MessageStore`, `AsyncMessageStore` and what both are made of."""

from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore

__all__ = ["AsyncMessageStore", "MessageStore"]
