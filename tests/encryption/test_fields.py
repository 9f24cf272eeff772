"""What is encrypted of a message, what decrypts to what it was, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdb_sqla import (
    DecryptionFailed,
    Message,
    NoSubjectKey,
    StoredMessage,
    SubjectForgotten,
)
from mdb_sqla.encryption import Encryption, Forgotten, PersonalData
from tests.encryption.conftest import ADA, PERSONAL, Keys


def stored(message: Message, **changes: Any) -> StoredMessage:
    """The message as it is read, which is when it has been through JSON."""
    data, metadata = json.loads(json.dumps([message.data, message.metadata or {}]))
    when = datetime.now(UTC)
    read = StoredMessage(message.id, "customer-1", message.type, 0, 4, data, metadata, when)
    return read._replace(**changes)


def test_there_and_back(encryption: Encryption) -> None:
    before = copy.deepcopy(ADA)
    message = Message("Registered", ADA, {"schemaVersion": "2"})
    encrypted = encryption.encrypt(message)
    assert (encrypted.id, encrypted.type) == (message.id, message.type)
    assert "Ada" not in str(encrypted)
    assert "London" not in str(encrypted)
    assert before == ADA
    data = encrypted.data
    assert (data["customer"], data["plan"], data["address"]["door"]) == ("ada", "pro", 12)
    assert encrypted.metadata == {
        "schemaVersion": "2",
        "encryptedFields": {"name": "ada", "address.city": "ada"},
    }
    read = encryption.decrypt(stored(encrypted))
    assert read.data == ADA
    assert read.metadata == {"schemaVersion": "2"}
    assert encryption.decrypt(read) == read


def test_several_subjects(encryption: Encryption, keys: Keys) -> None:
    data: dict[str, Any] = {
        "payer": 7,
        "payer_name": "Ada",
        "payee": {"id": uuid4(), "name": "Bob"},
        "amount": 3,
    }
    encrypted = encryption.encrypt(Message("Paid", data))
    encrypted.data["payee"]["id"] = str(encrypted.data["payee"]["id"])
    assert keys.keys.keys() == {"7", str(data["payee"]["id"])}
    keys.keys["7"] = None
    read = Encryption(keys, {}).decrypt(stored(encrypted))
    assert (read.data["payer_name"], read.data["payee"]["name"]) == (Forgotten("7"), "Bob")


def test_optional_fields(encryption: Encryption) -> None:
    for address in ({"city": "Paris"}, {"city": "Paris", "zip": "75001"}, {"city": None}):
        message = Message("Registered", {**ADA, "address": address, "phone": None})
        assert encryption.decrypt(stored(encryption.encrypt(message))).data == message.data


def test_a_message_without_personal_data_is_unchanged(encryption: Encryption, keys: Keys) -> None:
    for message in (Message("Shipped", {"name": "Ada"}), Message("Shipped")):
        assert encryption.encrypt(message) is message
        read = stored(message)
        assert encryption.decrypt(read) is read
    others: list[Any] = [None, [], "text", {"erased": True}]
    for metadata in others:
        read = stored(Message("Registered", {}), metadata=metadata)
        assert encryption.decrypt(read) is read
    assert keys.calls == []


def test_what_is_configured_later_does_not_matter(encryption: Encryption, keys: Keys) -> None:
    read = stored(encryption.encrypt(Message("Registered", ADA)))
    assert Encryption(keys, {}).decrypt(read).data == ADA
    other = {"Registered": PersonalData("plan", ["customer"])}
    assert Encryption(keys, other).decrypt(read).data == ADA


def test_the_same_message_is_encrypted_to_the_same(encryption: Encryption) -> None:
    message = Message("Registered", ADA)
    first = encryption.encrypt(message)
    assert encryption.encrypt(message) == first
    another = encryption.encrypt(Message("Registered", ADA))
    changed = encryption.encrypt(Message("Registered", {**ADA, "name": "Ade"}, id=message.id))
    names = {each.data["name"] for each in (first, another, changed)}
    nonces = {name[:16] for name in names}
    assert len(names) == len(nonces) == 3


def swap_fields(read: StoredMessage) -> StoredMessage:
    data = copy.deepcopy(read.data)
    data["name"], data["address"]["city"] = data["address"]["city"], data["name"]
    return read._replace(data=data)


def changed(change: Callable[[str], Any]) -> Callable[[StoredMessage], StoredMessage]:
    return lambda read: read._replace(data={**read.data, "name": change(read.data["name"])})


def flipped(text: str) -> str:
    return text[:30] + ("A" if text[30] != "A" else "B") + text[31:]


ALTERED = "it was altered or moved, or encrypted with another key"


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (lambda read: read._replace(id=UUID(int=7)), ALTERED),
        (swap_fields, ALTERED),
        (changed(flipped), ALTERED),
        (changed(lambda text: text[:4]), ALTERED),
        (changed(lambda text: "Ag" + text[2:]), r"its format is unknown \(version 02\)"),
        (changed(lambda text: ""), r"its format is unknown \(version none\)"),
        (changed(lambda text: "Ada"), "it is not a ciphertext"),
        (changed(lambda text: 3), "it is not a ciphertext"),
        (changed(lambda text: None), "it is not a ciphertext"),
        (lambda read: read._replace(data={}), "the field is missing"),
        (lambda read: read._replace(data=[]), "the field is missing"),
    ],
)
def test_what_was_altered_or_moved(encryption: Encryption, alter: Any, why: str) -> None:
    read = stored(encryption.encrypt(Message("Registered", ADA)))
    with pytest.raises(DecryptionFailed, match=rf"of message 4 can't be decrypted: {why}$") as info:
        encryption.decrypt(alter(read))
    assert info.value.subject == "ada"
    assert "Ada" not in str(info.value)
    restored = pickle.loads(pickle.dumps(info.value))
    assert (str(restored), restored.subject) == (str(info.value), "ada")


def test_another_subject(encryption: Encryption, keys: Keys) -> None:
    keys.keys["bob"] = keys.create_key("ada")
    read = stored(encryption.encrypt(Message("Registered", ADA)))
    fields: Any = {"encryptedFields": {"name": "bob", "address.city": "bob"}}
    with pytest.raises(DecryptionFailed, match=ALTERED):
        encryption.decrypt(read._replace(metadata=fields))


def test_another_key(encryption: Encryption, keys: Keys) -> None:
    read = stored(encryption.encrypt(Message("Registered", ADA)))
    keys.keys["ada"] = b"x" * 32
    with pytest.raises(DecryptionFailed, match=ALTERED):
        Encryption(keys, PERSONAL).decrypt(read)


@pytest.mark.parametrize("fields", ["name", ["name"], {"name": 3}, {"name": None}])
def test_metadata_that_is_no_use(encryption: Encryption, fields: Any) -> None:
    read = stored(Message("Registered", ADA, {"encryptedFields": fields}))
    with pytest.raises(DecryptionFailed, match="encryptedFields of its metadata is invalid"):
        encryption.decrypt(read)


def test_a_key_that_never_was(encryption: Encryption) -> None:
    read = stored(encryption.encrypt(Message("Registered", ADA)))
    with pytest.raises(NoSubjectKey, match="no key for subject ada, and it was not forgotten"):
        Encryption(Keys(), PERSONAL).decrypt(read)


def test_what_is_forgotten(encryption: Encryption, keys: Keys) -> None:
    read = stored(encryption.encrypt(Message("Registered", ADA)))
    keys.keys["ada"] = None
    later = Encryption(keys, PERSONAL)
    data = later.decrypt(read).data
    assert isinstance(data["name"], Forgotten)
    assert isinstance(data["address"]["city"], Forgotten)
    assert data["name"].subject == "ada"
    assert data["plan"] == "pro"
    with pytest.raises(SubjectForgotten, match="Subject ada was forgotten, and gets no new key"):
        later.encrypt(Message("Registered", ADA))


def test_a_handler_that_does_not_know_of_it() -> None:
    value = Forgotten("ada")
    assert not value
    assert (f"Dear {value}", json.dumps({"name": value})) == ("Dear ", '{"name": ""}')
    assert repr(value) == "Forgotten('ada')"
    again = pickle.loads(pickle.dumps(value))
    assert (type(again), again.subject) == (Forgotten, "ada")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(data=st.dictionaries(st.text(), JSON), name=JSON, city=JSON, subject=st.text(min_size=1))
def test_any_value_comes_back(data: Any, name: Any, city: Any, subject: str) -> None:
    subject = subject.encode("utf-8", "replace").decode().replace("\0", "?")
    data |= {"customer": subject, "name": name, "address": {"city": city}}
    for optional in ("phone",):
        data.setdefault(optional, "1")
    encryption = Encryption(_AnyKeys(), PERSONAL)
    message = Message("Registered", data)
    read = stored(encryption.encrypt(message))
    assert read.data["name"] != name
    assert encryption.decrypt(read).data == data


class _AnyKeys:
    def create_key(self, subject: str) -> bytes:
        return b"k" * 32

    find_key = create_key
