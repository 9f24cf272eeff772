"""As much of Amazon's S3 as the broker `tansu` asks for, on files.

It's a program of its own, for it has to stay while the broker is killed: `object_store.py PORT
FOLDER` has the bucket FOLDER, whatever the bucket is called. It knows whole objects, conditions on
their ETags, and lists of all that begin with a prefix.
"""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path
    lock = Lock()  # an object is written if it is still as the condition says

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self._path()
        with self.lock:
            found = _tag(path.read_bytes()) if path.exists() else None
            expected = self.headers.get("If-Match")
            absent = self.headers.get("If-None-Match") == "*"
            if (absent and found is not None) or expected not in (None, found):
                self._answer(412)
                return
            unfinished = path.with_name(f"{path.name}~")
            unfinished.write_bytes(body)
            unfinished.replace(path)
        self._answer(200, tag=_tag(body))

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            self._answer(200, self._list(query.get("prefix", [""])[0]).encode())
            return
        try:
            body = self._path().read_bytes()
        except FileNotFoundError:
            self._answer(404)
            return
        tag = _tag(body)
        self._answer(304 if self.headers.get("If-None-Match") == tag else 200, body, tag)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        self._path().unlink(missing_ok=True)
        self._answer(204)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _path(self) -> Path:
        _, _, key = urlsplit(self.path).path.lstrip("/").partition("/")
        return self.folder / quote(unquote(key), safe="")

    def _list(self, prefix: str) -> str:
        keys = sorted(unquote(path.name) for path in self.folder.iterdir())
        keys = [key for key in keys if key.startswith(prefix) and not key.endswith("~")]
        # tansu takes the newest of a partition's files for its last, and the clock of the file
        # system gives the same time to several; their names are in order.
        begin = datetime.now(UTC) - timedelta(milliseconds=len(keys))
        listed = []
        for number, key in enumerate(keys):
            size = (self.folder / quote(key, safe="")).stat().st_size
            modified = (begin + timedelta(milliseconds=number)).isoformat()
            listed.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size>"
                f"<LastModified>{modified}</LastModified></Contents>"
            )
        count = f"<KeyCount>{len(listed)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{count}{''.join(listed)}</ListBucketResult>"

    def _answer(self, status: int, body: bytes = b"", tag: str | None = None) -> None:
        self.send_response(status)
        if tag is not None:
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", formatdate(0, usegmt=True))
        has_body = status not in (204, 304)
        if has_body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(body)


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


def main() -> None:
    port, folder = sys.argv[1:]
    Request.folder = Path(folder)
    Request.folder.mkdir(exist_ok=True)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Request).serve_forever()


if __name__ == "__main__":
    main()
