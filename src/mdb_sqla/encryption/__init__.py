"""Encryption of personal data with a key for each subject; deleting the key erases the data."""

from mdb_sqla.encryption.field_encryption import AsyncEncryption, Encryption
from mdb_sqla.encryption.forgotten import Forgotten
from mdb_sqla.encryption.key_service import AsyncKeyService, KeyService
from mdb_sqla.encryption.key_table import AsyncKeyTable, KeyTable
from mdb_sqla.encryption.personal_data import PersonalData

__all__ = [
    "AsyncEncryption",
    "AsyncKeyService",
    "AsyncKeyTable",
    "Encryption",
    "Forgotten",
    "KeyService",
    "KeyTable",
    "PersonalData",
]
