"""Encryption and decryption of the personal data in messages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mdb_sqla.encryption.cipher import SubjectKey, Undecryptable
from mdb_sqla.encryption.forgotten import Forgotten
from mdb_sqla.encryption.key_cache import CachedKey, KeyCache
from mdb_sqla.encryption.key_service import AsyncKeyService, KeyService
from mdb_sqla.encryption.personal_data import PersonalData, checked, replace_value
from mdb_sqla.errors import DecryptionFailed, InvalidMessage, SubjectForgotten
from mdb_sqla.words.argument_checks import instance
from mdb_sqla.words.message import Message, StoredMessage

__all__ = ["AsyncEncryption", "Encryption"]

_KEY = "encryptedFields"

_Fields = Mapping[str, str]
"""Fields, each with its subject."""
_Keys = Mapping[str, SubjectKey | None]
"""Keys by subject; None if the subject was forgotten."""


class _FieldEncryption:
    """What does not depend on whether the key service is async."""

    def __init__(
        self,
        personal_data: Mapping[str, PersonalData | Sequence[PersonalData]],
        max_age: float,
        max_keys: int,
        serializer: Callable[[Any], str | bytes],
        deserializer: Callable[[str], Any],
    ) -> None:
        self._personal_data = checked(personal_data)
        self._cache = KeyCache(max_age, max_keys)
        self._serializer = serializer
        self._deserializer = deserializer

    def _cached(self, fields: _Fields) -> tuple[dict[str, SubjectKey | None], list[str]]:
        """Return the cached keys of the subjects, and the subjects whose keys must be loaded."""
        found: dict[str, SubjectKey | None] = {}
        missing = []
        for subject in dict.fromkeys(fields.values()):
            cached: CachedKey | None = self._cache.get(subject)
            if cached is None:
                missing.append(subject)
            else:
                found[subject] = cached.key
        return found, missing

    def _fields_to_encrypt(self, message: Message) -> dict[str, str]:
        instance("message", message, Message)
        parts = self._personal_data.get(message.type, ())
        fields = {field: subject for part in parts for field, subject in part.found_in(message)}
        if fields and _KEY in (message.metadata or {}):
            raise InvalidMessage(message, f"it is encrypted already: its metadata has {_KEY}")
        return fields

    def _encrypted(self, message: Message, fields: _Fields, keys: _Keys) -> Message:
        data = {**message.data}
        for field, subject in fields.items():
            key = keys[subject]
            if key is None:
                raise SubjectForgotten(subject)
            try:
                text = self._serializer(_value_at(data, field))
            except Exception as error:
                # A serializer may raise any error.
                raise InvalidMessage(message, f"{field!r} must be JSON: {error}") from error
            value = text.encode() if isinstance(text, str) else text
            replace_value(data, field, key.encrypt(value, _context(message, field, subject)))
        metadata = {**(message.metadata or {}), _KEY: dict(fields)}
        return replace(message, data=data, metadata=metadata)

    def _fields_to_decrypt(self, message: StoredMessage) -> dict[str, str]:
        instance("message", message, StoredMessage)
        metadata: Any = message.metadata
        fields = metadata.get(_KEY) if isinstance(metadata, dict) else None
        if fields is None:
            return {}
        if not isinstance(fields, dict) or not all(isinstance(s, str) for s in fields.values()):
            raise DecryptionFailed(_name(message), "", f"{_KEY} of its metadata is invalid")
        return fields

    def _decrypted(self, message: StoredMessage, fields: _Fields, keys: _Keys) -> StoredMessage:
        data = message.data
        if isinstance(data, dict):
            data = {**data}
        for field, subject in fields.items():
            what = f"{field!r} of {_name(message)}"
            try:
                text = _value_at(data, field)
            except (KeyError, TypeError):
                raise DecryptionFailed(what, subject, "the field is missing") from None
            key = keys[subject]
            value: Any = Forgotten(subject)
            if key is not None:
                try:
                    plain = key.decrypt(text, _context(message, field, subject))
                except Undecryptable as error:
                    raise DecryptionFailed(what, subject, str(error)) from None
                value = self._deserializer(plain.decode())
            replace_value(data, field, value)
        metadata: Any = {name: value for name, value in message.metadata.items() if name != _KEY}
        return message._replace(data=data, metadata=metadata)


class Encryption(_FieldEncryption):
    """Encrypts the personal data of messages with a key for each subject.

    Encrypt a message before you write it, and decrypt it after you read it. The subject is
    forgotten by deleting its key, with `mdb_sqla.erasure.forget_subject`: from then on, its fields
    are decrypted to `Forgotten`.

        encryption = Encryption(
            KeyTable(engine, master_key),
            {"Registered": PersonalData("customer", ["name", "address.city"])},
        )
        store.write("customer-1", encryption.encrypt(Message("Registered", data)))

    The metadata of an encrypted message has `encryptedFields`, the fields and their subjects, so
    that decrypting does not depend on what is configured today. A ciphertext is bound to the id of
    its message, the field and the subject. Encrypting the same message again gives the same
    ciphertext, so a repeated write is recognized.

    Args:
        keys: what keeps the keys.
        personal_data: the personal data of each message type; several for several subjects.
        max_age: the number of seconds for which a key is used before it is looked up again. A
            subject is forgotten everywhere at the latest after this time.
        max_keys: the maximum number of keys in memory.
        serializer: serializes a value to JSON.
        deserializer: deserializes a value from JSON.

    Raises:
        InvalidArgument: an argument is invalid.
    """

    def __init__(
        self,
        keys: KeyService,
        personal_data: Mapping[str, PersonalData | Sequence[PersonalData]],
        *,
        max_age: float = 60.0,
        max_keys: int = 10_000,
        serializer: Callable[[Any], str | bytes] = json.dumps,
        deserializer: Callable[[str], Any] = json.loads,
    ) -> None:
        super().__init__(personal_data, max_age, max_keys, serializer, deserializer)
        self._service = keys

    def encrypt(self, message: Message) -> Message:
        """Return a message with encrypted personal data; unchanged if its type has none.

        A subject's first message creates its key, in a transaction of its own.

        Raises:
            SubjectForgotten: the subject's key was deleted.
            InvalidMessage: personal data is missing or not JSON, the subject is invalid, or the
                message is encrypted already.
            InvalidArgument: it is not a `Message`.
        """
        fields = self._fields_to_encrypt(message)
        return self._encrypted(message, fields, self._keys(fields, True)) if fields else message

    def decrypt(self, message: StoredMessage) -> StoredMessage:
        """Return a message with decrypted personal data; unchanged if it has none.

        What belongs to a forgotten subject is `Forgotten`.

        Raises:
            DecryptionFailed: personal data was altered, moved or encrypted with another key.
            NoSubjectKey: the subject has encrypted data, but never had a key.
            InvalidArgument: it is not a `StoredMessage`.
        """
        fields = self._fields_to_decrypt(message)
        return self._decrypted(message, fields, self._keys(fields, False)) if fields else message

    def _keys(self, fields: _Fields, create: bool) -> _Keys:
        keys, missing = self._cached(fields)
        for subject in missing:
            now = time.monotonic()
            call = self._service.create_key if create else self._service.find_key
            keys[subject] = self._cache.add(subject, call(subject), now).key
        return keys


class AsyncEncryption(_FieldEncryption):
    """Encrypts the personal data of messages, with an async key service. See `Encryption`."""

    def __init__(
        self,
        keys: AsyncKeyService,
        personal_data: Mapping[str, PersonalData | Sequence[PersonalData]],
        *,
        max_age: float = 60.0,
        max_keys: int = 10_000,
        serializer: Callable[[Any], str | bytes] = json.dumps,
        deserializer: Callable[[str], Any] = json.loads,
    ) -> None:
        super().__init__(personal_data, max_age, max_keys, serializer, deserializer)
        self._service = keys

    async def encrypt(self, message: Message) -> Message:
        """Return a message with encrypted personal data. See `Encryption.encrypt`."""
        fields = self._fields_to_encrypt(message)
        if not fields:
            return message
        return self._encrypted(message, fields, await self._keys(fields, True))

    async def decrypt(self, message: StoredMessage) -> StoredMessage:
        """Return a message with decrypted personal data. See `Encryption.decrypt`."""
        fields = self._fields_to_decrypt(message)
        if not fields:
            return message
        return self._decrypted(message, fields, await self._keys(fields, False))

    async def _keys(self, fields: _Fields, create: bool) -> _Keys:
        keys, missing = self._cached(fields)
        for subject in missing:
            now = time.monotonic()
            call = self._service.create_key if create else self._service.find_key
            keys[subject] = self._cache.add(subject, await call(subject), now).key
        return keys


def _value_at(data: Any, field: str) -> Any:
    for name in field.split("."):
        data = data[name]
    return data


def _context(message: Message | StoredMessage, field: str, subject: str) -> bytes:
    # Neither has NUL, so no two contexts are the same.
    return message.id.bytes + f"{subject}\0{field}\0".encode()


def _name(message: StoredMessage) -> str:
    return f"message {message.global_position}"
