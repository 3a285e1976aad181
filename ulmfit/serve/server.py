"""Runs the service until a signal ends it."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.process import STOP_SIGNALS
from ulmfit.serve.app import make_app
from ulmfit.serve.settings import ServeSettings

if TYPE_CHECKING:
    from ulmfit.bundle.classifier import TextClassifier

BACKLOG = 2_048
"""Connections that wait until they are accepted."""
LONGEST_HEAD = 32_768
"""Bytes of a request's line and headers."""


def serve(
    classifier: TextClassifier,
    settings: ServeSettings,
    *,
    host: str,
    port: int,
    log: Callable[[str], object],
    warn: Callable[[str], object],
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that were accepted before are answered first.

    `port` 0: a free one; `log` is told which. Raises InputError where the address cannot be used.
    """
    server = make_server(classifier, settings)
    with open_socket(host, port) as listening:
        if not is_loopback(listening.getsockname()[0]):
            warn(
                f"warning: {host} can be reached from other machines, and the service has neither password "
                f"nor encryption: put a proxy that has them in front of it"
            )
        log(f"serving {classifier.description.name} at {address(listening)} (Ctrl-C ends it)")
        # When it has ended uvicorn sends itself the signal once more; nothing is left to do then.
        before = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
        try:
            server.run([listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(classifier: TextClassifier, settings: ServeSettings) -> uvicorn.Server:
    """Return the server; it writes no log of requests."""
    config = uvicorn.Config(
        make_app(classifier, settings),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    return uvicorn.Server(config)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises InputError where the address is taken, or not of this machine."""
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {host}: this host is unknown ({_reason(error)}): expected an address of this machine, "
            f"such as 127.0.0.1, or 0.0.0.0 for all of them"
        ) from error
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                f"--host {host}: this is no address of this machine: choose one of its own, or 0.0.0.0 for "
                f"all of them"
            ) from error
        raise InputError(
            f"--host {host} --port {port}: cannot listen there ({_reason(error)}): choose another port, or 0 "
            f"for a free one"
        ) from error


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from its own machine alone."""
    return ipaddress.ip_address(host).is_loopback


def address(listening: socket.socket) -> str:
    """Return the address of a listening socket, to be opened in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
