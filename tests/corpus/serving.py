"""A small server on localhost that serves bytes and misbehaves as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server has, and how it misbehaves; `requests` is what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    """Bytes after which each of the next answers breaks off."""
    errors: list[int] = field(default_factory=list)
    """Status codes of the next answers."""
    ignore_ranges: bool = False
    requests: list[tuple[str, str | None, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve `site` until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.requests.append((self.path, asked, self.headers.get("User-Agent", "")))
            self.close_connection = True
            if site.errors or self.path not in site.files:
                self.answer(site.errors.pop(0) if site.errors else 404, {}, b"no")
                return
            data = site.files[self.path]
            if asked is None or site.ignore_ranges:
                self.answer(200, {}, data)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
            else:
                self.answer(
                    206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:]
                )

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data)), "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            good = status < 300 and site.break_after
            self.wfile.write(data[: site.break_after.pop(0)] if good else data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
