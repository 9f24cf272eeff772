"""Messages and arguments that are refused, before anything is encrypted."""

from __future__ import annotations

from typing import Any

import pytest

from mdb_sqla import InvalidArgument, InvalidMessage, Message
from mdb_sqla.encryption import Encryption, PersonalData
from tests.encryption.conftest import ADA, Keys


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"customer": "ada", "address": {"city": "London"}}, "personal data 'name' is missing"),
        ({"customer": "ada", "name": "Ada"}, "personal data 'address.city' is missing"),
        ({**ADA, "address": None}, "personal data 'address.city' is missing"),
        ({**ADA, "address": "London"}, "an object with 'city' for personal data 'address.city'"),
        ({**ADA, "address": ["London"]}, "an object with 'city' for personal data 'address.city'"),
        (None, "there must be an object with 'name'"),
        (["Ada"], "there must be an object with 'name'"),
        ({**ADA, "name": object()}, "'name' must be JSON"),
        ({**ADA, "customer": ""}, "subject must be a non-empty string"),
        ({**ADA, "customer": None}, "subject must be a non-empty string"),
        ({**ADA, "customer": True}, "subject must be a non-empty string"),
        ({**ADA, "customer": "a\0"}, "subject must be a non-empty string without NUL"),
        ({**ADA, "customer": "a" * 1001}, "subject must be at most 1,000 bytes"),
        ({key: ADA[key] for key in ADA if key != "customer"}, "subject must be a non-empty string"),
    ],
)
def test_messages_that_are_refused(encryption: Encryption, keys: Keys, data: Any, why: str) -> None:
    with pytest.raises(InvalidMessage, match=why):
        encryption.encrypt(Message("Registered", data))


def test_what_is_encrypted_already(encryption: Encryption) -> None:
    encrypted = encryption.encrypt(Message("Registered", ADA))
    with pytest.raises(InvalidMessage, match="it is encrypted already"):
        encryption.encrypt(encrypted)


@pytest.mark.parametrize("name", ["encrypt", "decrypt"])
def test_what_is_no_message(encryption: Encryption, name: str) -> None:
    with pytest.raises(InvalidArgument, match="message must be an instance of"):
        getattr(encryption, name)("message")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("customer", []), "fields must name at least one field"),
        (("customer", "name"), "fields must be a sequence of names, got 'name'"),
        (("customer", ["name"], "phone"), "optional must be a sequence of names"),
        (("customer", ["name", ""]), "fields must be a non-empty string"),
        (("customer", [3]), "fields must be a non-empty string"),
        (("customer", ["address..city"]), "single dots between them, got 'address..city'"),
        (("", ["name"]), "subject must be a non-empty string"),
        ((None, ["name"]), "subject must be a non-empty string"),
        (("customer", ["name", "name"]), "'name' and 'name' overlap"),
        (("customer", ["address"], ["address.city"]), "'address' and 'address.city' overlap"),
        (("customer", ["customer"]), "'customer' and 'customer' overlap"),
        (("customer.id", ["customer"]), "'customer' and 'customer.id' overlap"),
    ],
)
def test_personal_data_that_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        PersonalData(*arguments)


@pytest.mark.parametrize(
    ("personal_data", "options", "message"),
    [
        ([], {}, "personal_data must be a mapping of message types"),
        ({"T": ["name"]}, {}, "personal_data must have PersonalData for each type"),
        ({"": PersonalData("a", ["b"])}, {}, "message type must be a non-empty string"),
        ({"T": [PersonalData("a", ["b"]), PersonalData("c", ["a"])]}, {}, "'a' and 'a' overlap"),
        ({}, {"max_age": 0}, "max_age must be a positive number of seconds"),
        ({}, {"max_keys": 0}, "max_keys must be an integer of at least 1"),
    ],
)
def test_arguments_that_are_refused(personal_data: Any, options: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Encryption(Keys(), personal_data, **options)
