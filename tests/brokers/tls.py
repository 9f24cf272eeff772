"""An authority of the tests' own, and what it vouches for: a server on the loopback interface."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme


class Tls:
    """The files with which a broker speaks TLS.

    Args:
        folder: where they are put.

    Attributes:
        authority: whom clients have to trust.
        certificate: the server's.
        key: the server's.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.authority = folder / "authority.pem"
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        authority.cert_pem.write_to_path(self.authority)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)


@contextmanager
def connected(port: int, tls: Tls | None) -> Iterator[socket.socket]:
    """A connection to a server on the loopback interface, over TLS where it speaks that."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        if tls is None:
            yield connection
        else:
            context = ssl.create_default_context(cafile=tls.authority)
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as encrypted:
                yield encrypted
