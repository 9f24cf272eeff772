"""Archives of deleted messages: compressed files with manifests, in a folder or object storage."""

from mdb_sqla.archive.archive_files import ArchiveProblem, files, verify
from mdb_sqla.archive.manifest import ArchiveFile
from mdb_sqla.archive.restoration import Restored, restore

__all__ = ["ArchiveFile", "ArchiveProblem", "Restored", "files", "restore", "verify"]
