"""A service in a thread of the test's process, asked over real connections."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from ulmfit import TextClassifier
from ulmfit.serve.server import make_server, open_socket
from ulmfit.serve.settings import ServeSettings

JSON = {"Content-Type": "application/json"}
PATIENCE = 60
"""Seconds until a test gives up on an answer; far more than any takes."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    port: int
    settings: ServeSettings
    server: uvicorn.Server

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = JSON
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def post(self, path: str, content: Any) -> Answer:
        return self.ask("POST", path, json.dumps(content).encode())

    def wait_for(self, figure: str) -> None:
        """Wait until `figure` stands in /metrics."""
        begun = time.monotonic()
        while figure.encode() not in self.ask("GET", "/metrics").body:
            assert time.monotonic() - begun < PATIENCE, figure


@contextmanager
def running(classifier: TextClassifier, settings: ServeSettings) -> Iterator[Running]:
    """Serve on a free port, and end the service at the end."""
    server = make_server(classifier, settings)
    with open_socket("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield Running(port, settings, server)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
