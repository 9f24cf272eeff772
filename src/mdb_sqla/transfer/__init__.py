"""Export, import and tailing of messages, as JSON Lines."""

from mdb_sqla.transfer.deletion_watch import DeletedMessages
from mdb_sqla.transfer.json_lines import messages_in
from mdb_sqla.transfer.message_export import export
from mdb_sqla.transfer.message_import import Imported, import_lines
from mdb_sqla.transfer.message_tail import Following
from mdb_sqla.transfer.raw_reads import RawReader
from mdb_sqla.transfer.rewind_detection import Mark
from mdb_sqla.words.raw_message import RawMessage

__all__ = [
    "DeletedMessages",
    "Following",
    "Imported",
    "Mark",
    "RawMessage",
    "RawReader",
    "export",
    "import_lines",
    "messages_in",
]
