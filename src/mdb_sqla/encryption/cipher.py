"""Authenticated encryption with AES-256-GCM, with a version byte before each ciphertext."""

from __future__ import annotations

import base64
import os
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mdb_sqla.errors import InvalidArgument
from mdb_sqla.words.argument_checks import name_of

__all__ = ["KEY_LENGTH", "SubjectKey", "Undecryptable", "WrappingKey", "new_key"]

KEY_LENGTH = 32
"""The length of a key in bytes."""

_VERSION = b"\x01"
_NONCE_LENGTH = 12


class Undecryptable(Exception):
    """A ciphertext is no ciphertext of this key and context. The text says why."""


def new_key() -> bytes:
    """Return a new random key."""
    return AESGCM.generate_key(8 * KEY_LENGTH)


class SubjectKey:
    """Encrypts values. The same value in the same context always gives the same ciphertext.

    So a message that is encrypted and written again, by a retry, is recognized as the same. The
    nonce is a MAC of the value and the context: it is repeated only with both of them. Nobody who
    lacks the key learns more than that they are equal.

    Args:
        key: the key.
    """

    __slots__ = ("_aes", "_nonce_key")

    def __init__(self, key: bytes) -> None:
        self._aes = _aes("the key of a subject", key)
        self._nonce_key = blake2b(b"nonces", key=key, digest_size=KEY_LENGTH).digest()

    def encrypt(self, value: bytes, context: bytes) -> str:
        """Return the ciphertext of a value, which only this context decrypts.

        Args:
            value: the value.
            context: what is authenticated with it; none is the beginning of another one.
        """
        context = _VERSION + context
        mac = blake2b(context + value, key=self._nonce_key, digest_size=_NONCE_LENGTH)
        nonce = mac.digest()
        ciphertext = self._aes.encrypt(nonce, value, context)
        return base64.b64encode(_VERSION + nonce + ciphertext).decode()

    def decrypt(self, text: object, context: bytes) -> bytes:
        """Return a value.

        Raises:
            Undecryptable: it was encrypted with another key or context, or altered.
        """
        try:
            if not isinstance(text, str):
                raise ValueError
            ciphertext = base64.b64decode(text, validate=True)
        except ValueError:
            raise Undecryptable("it is not a ciphertext") from None
        return _decrypt(self._aes, ciphertext, context)


class WrappingKey:
    """Encrypts the keys of subjects, with random nonces.

    Args:
        key: the key.

    Raises:
        InvalidArgument: it is not a key.
    """

    __slots__ = ("_aes",)

    def __init__(self, key: bytes) -> None:
        self._aes = _aes("master_key", key)

    def wrap(self, key: bytes, subject: str) -> bytes:
        """Return the wrapped key of a subject."""
        nonce = os.urandom(_NONCE_LENGTH)
        return _VERSION + nonce + self._aes.encrypt(nonce, key, _VERSION + subject.encode())

    def unwrap(self, wrapped: bytes, subject: str) -> bytes:
        """Return the key of a subject.

        Raises:
            Undecryptable: it was wrapped with another key or for another subject, or altered.
        """
        return _decrypt(self._aes, wrapped, subject.encode())


def _decrypt(aes: AESGCM, ciphertext: bytes, context: bytes) -> bytes:
    version, rest = ciphertext[:1], ciphertext[1:]
    if version != _VERSION:
        raise Undecryptable(f"its format is unknown (version {version.hex() or 'none'})")
    try:
        return aes.decrypt(rest[:_NONCE_LENGTH], rest[_NONCE_LENGTH:], _VERSION + context)
    except (InvalidTag, ValueError):
        raise Undecryptable("it was altered or moved, or encrypted with another key") from None


def _aes(what: str, key: object) -> AESGCM:
    # The value of a key must not be part of an error.
    if not isinstance(key, bytes):
        raise InvalidArgument(f"{what} must be {KEY_LENGTH} bytes, got {name_of(type(key))}")
    if len(key) != KEY_LENGTH:
        raise InvalidArgument(f"{what} must be {KEY_LENGTH} bytes, got {len(key)}")
    return AESGCM(key)
