"""Encryption and decryption of the personal data in an entity's messages."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from mdb_sqla.errors import DecryptionFailed, InvalidArgument
from mdb_sqla.words.argument_checks import described
from mdb_sqla.words.message import Message, StoredMessage

if TYPE_CHECKING:
    from mdb_sqla.encryption import Encryption

__all__ = ["ENCRYPTED", "MessageEncryption"]

ENCRYPTED = "encryptedFields"
"""The key in the metadata of messages with encrypted personal data."""


class MessageEncryption:
    """Encrypts and decrypts messages, if an `Encryption` is given.

    Raises:
        InvalidArgument: it is something else, such as an `AsyncEncryption`: an event is encrypted
            where it is written, without awaiting.
    """

    def __init__(self, encryption: Encryption | None) -> None:
        encrypt = getattr(encryption, "encrypt", None)
        if encryption is not None and (encrypt is None or inspect.iscoroutinefunction(encrypt)):
            raise InvalidArgument(
                f"encryption must be an Encryption, or None, got {described(encryption)}"
            )
        self._encryption = encryption

    def __bool__(self) -> bool:
        return self._encryption is not None

    def has_personal_data(self, type_: str) -> bool:
        """Return whether the personal data of a message type is named, even if there is none."""
        return self._encryption is not None and type_ in self._encryption._personal_data

    def encrypt(self, message: Message) -> Message:
        """Return a message with encrypted personal data. See `Encryption.encrypt`."""
        return message if self._encryption is None else self._encryption.encrypt(message)

    def decrypt(self, message: StoredMessage) -> StoredMessage:
        """Return a message with decrypted personal data. See `Encryption.decrypt`.

        Raises:
            DecryptionFailed: the message is encrypted, but there is no `Encryption`.
        """
        if self._encryption is not None:
            return self._encryption.decrypt(message)
        metadata: Any = message.metadata
        if isinstance(metadata, dict) and ENCRYPTED in metadata:
            # A ciphertext could pass for a value.
            raise DecryptionFailed(
                f"message {message.global_position}", "", "the EntityStore has no encryption="
            )
        return message
