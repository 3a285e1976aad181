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
    stall: bool = False
    """An answer that breaks off does not end the connection: nothing more comes until the server ends."""
    ended: threading.Event = field(default_factory=threading.Event)
    errors: list[int] = field(default_factory=list)
    """Status codes of the next answers."""
    headers: dict[str, str] = field(default_factory=dict)
    """What every answer says besides."""
    ignore_ranges: bool = False
    no_length: bool = False
    """Answers end with the connection, without a Content-Length."""
    shifted_ranges: int = 0
    """How many of the next ranges begin a byte late."""
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
            if site.shifted_ranges:
                site.shifted_ranges, start = site.shifted_ranges - 1, start + 1
            if start >= len(data):
                self.answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
            else:
                self.answer(
                    206, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:]
                )

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            length = {} if site.no_length else {"Content-Length": str(len(data))}
            for name, value in {**site.headers, **headers, **length, "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            breaks = status < 300 and bool(site.break_after)
            self.wfile.write(data[: site.break_after.pop(0)] if breaks else data)
            if breaks and site.stall:
                self.wfile.flush()
                site.ended.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
