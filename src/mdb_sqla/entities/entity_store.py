from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from mdb_sqla.database.execution import Database, database
from mdb_sqla.entities.behavior import Behavior
from mdb_sqla.entities.entity import Entity
from mdb_sqla.entities.fold import Fold
from mdb_sqla.entities.message_encryption import MessageEncryption
from mdb_sqla.entities.snapshots import SnapshotFormat, Snapshots
from mdb_sqla.entities.state_cache import StateCache
from mdb_sqla.entities.state_reader import StateReader
from mdb_sqla.entities.transaction_entities import find, remember
from mdb_sqla.errors import InvalidArgument, InvalidStreamName
from mdb_sqla.message_types import MessageTypes
from mdb_sqla.outbox.unit_of_work import AsyncUnitOfWork, UnitOfWork
from mdb_sqla.store.async_message_store import AsyncMessageStore
from mdb_sqla.store.message_store import MessageStore
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.stream_name import StreamName, category_name

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    from mdb_sqla.encryption import Encryption

__all__ = ["EntityStore"]

_S = TypeVar("_S")


class EntityStore(Generic[_S]):
    """Entities of a category: each has a stream of events, and a state that is computed from them.

    The state is an object of a class of yours, which stays as it is. Events are applied either by
    methods that are marked with `apply`, or by a function:

        accounts = EntityStore("account", Account, types=types)
        accounts = EntityStore("account", Account, evolve=evolve, types=types)

        with UnitOfWork(factory) as unit:
            account = accounts.get(unit, "123")
            if account.state.balance >= 10:
                account.write(Withdrawn(10))
            unit.commit()

    Create one for each category, when the program starts. It can be used from several threads.

    Args:
        category: the category of the streams.
        initial: the class of the state, or a function that returns the initial state. It is called
            without arguments.
        types: the message types of the events.
        evolve: a function of a state and an event that returns the new state. By default, the class
            has methods that are marked with `apply`.
        decide: a function of a command and a state that returns the events that happen: a list, one
            event or None. `Entity.execute` calls it.
        snapshots: how states are recorded; by default they are not.
        cache: the maximum number of states to keep in memory; by default none is kept. A cached
            state is never returned without asking the database for later events.
        encryption: encrypts and decrypts the personal data of events and snapshots. States can't be
            cached then, because they would outlive the keys.

    Raises:
        InvalidArgument: an argument is invalid; `evolve` and methods are both missing; or the state
            can't be recorded as a snapshot.
    """

    def __init__(
        self,
        category: str,
        initial: Callable[[], _S],
        *,
        types: MessageTypes,
        evolve: Callable[[_S, Any], _S] | None = None,
        decide: Callable[[Any, _S], Any] | None = None,
        snapshots: Snapshots | None = None,
        cache: int | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        self.category = category_name(category)
        if decide is not None and not callable(decide):
            raise InvalidArgument(f"decide must be a function, got {described(decide)}")
        if cache is not None and encryption is not None:
            raise InvalidArgument(
                "States with encrypted personal data can't be cached: they would outlive the keys"
            )
        encrypting = MessageEncryption(encryption)
        fold = Fold(initial, types, evolve, encrypting)
        format_: SnapshotFormat[_S] | None = None
        if snapshots is not None:
            class_ = initial if isinstance(initial, type) else type(initial())
            format_ = SnapshotFormat(snapshots, self.category, class_, encrypting)
        states: StateCache[_S] | None = None if cache is None else StateCache(cache)
        self._behavior = Behavior(fold, encrypting, format_, decide)
        self._reader = StateReader(fold, format_, states)

    def stream_name(self, *ids: object) -> StreamName:
        """Return the stream name of an entity.

        Args:
            ids: the id, as a string, an integer or a UUID; several for a compound id.

        Raises:
            InvalidStreamName: there is no id, or one is invalid.
        """
        name = StreamName.build(self.category.entity, *ids, types=self.category.types)
        if name.is_category:
            raise InvalidStreamName(name, "the name of an entity's stream needs an id")
        return name

    def get(
        self,
        source: UnitOfWork | Session | scoped_session[Session] | MessageStore | Connection,
        *ids: object,
    ) -> Entity[_S]:
        """Return an entity in the current transaction; with the initial state if it has no events.

        Within a transaction of a session, an entity is read once: later calls return the same
        `Entity`, which includes what was written to it. To read again, begin another transaction.

        Args:
            source: a unit of work, a session, or a message store. Over a connection, an entity can
                only be read.
            ids: see `stream_name`.

        Raises:
            UnknownMessageType: the type of an event is not one of the message types.
            DecodingFailed: the data of an event is not valid.
            DecryptionFailed: an event can't be decrypted.
            FoldFailed: an event can't be applied to the state.
            EventsMissing: events were deleted, and no snapshot has the state after them.
            EntityErased: the contents of an event were erased.
            InvalidArgument: an argument is invalid.
        """
        if isinstance(source, UnitOfWork):
            return self._get(source.session, *ids)
        if isinstance(source, MessageStore):
            return self._get(source._db, *ids)
        return self._get(database(source), *ids)

    async def get_async(
        self,
        source: AsyncUnitOfWork
        | AsyncSession
        | async_scoped_session[AsyncSession]
        | AsyncMessageStore
        | AsyncConnection,
        *ids: object,
    ) -> Entity[_S]:
        """Return an entity in the current transaction of an async session. See `get`."""
        store = source.store if isinstance(source, AsyncUnitOfWork) else source
        if not isinstance(store, AsyncMessageStore):
            store = AsyncMessageStore(store)
        return await store._db.run_sync(self._get, *ids)

    def _get(self, db: Database, *ids: object) -> Entity[_S]:
        name = self.stream_name(*ids)
        known: Entity[_S] | None = find(db, self, name)
        if known is not None and known._is_usable:
            return known
        entity = Entity(self._behavior, db, name, self._reader.read(db, name))
        if known is not None:
            entity._resume(known)
        remember(db, self, entity)
        return entity
