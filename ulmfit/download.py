"""One download, resumed after every break, and checked before it gets its name."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

from ulmfit import __version__
from ulmfit.errors import InputError, StageFailed
from ulmfit.files import is_whole_number
from ulmfit.progress import Progress

USER_AGENT = f"ulmfit/{__version__} (research software; Python urllib)"
ATTEMPTS = 8
LONGEST_PAUSE = 60.0
TIMEOUT_SECONDS = 60.0
BLOCK = 1 << 20
MEGABYTE = 1_000_000
TOO_MANY_REQUESTS, RANGE_NOT_SATISFIABLE, REQUEST_TIMEOUT = 429, 416, 408

T = TypeVar("T")


class NotFound(InputError):
    """The server does not have the address (404 or 410)."""


def download(
    url: str,
    target: Path,
    *,
    sums: Mapping[str, str],
    size: int | None = None,
    log: Callable[[str], None],
    pause: float = 1.0,
) -> None:
    """Download `url` to `target` through `target` + ".part", from where an earlier try broke off.

    Retries with growing pauses (`pause` seconds at first). `sums` are hexadecimal, by the name of their
    kind (md5, sha1, sha256); `size` is in bytes. Raises InputError when the server refuses the address or the
    finished file has another size or checksum, StageFailed when the server stays unreachable.
    """
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _fetch_whole(url, part, size, log, pause)
    problem = difference(part, sums, size)
    if problem and resumed:
        log(f"{target.name}: the earlier part does not fit ({problem}); downloading it anew")
        part.unlink()
        _fetch_whole(url, part, size, log, pause)
        problem = difference(part, sums, size)
    if problem:
        part.unlink()
        raise InputError(f"{url}: the file that arrived is not the expected one: {problem}; it was removed")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def fetch_text(url: str, *, log: Callable[[str], None], pause: float = 1.0) -> str:
    """Return a small text file or page; raises like `download`."""

    def read() -> str:
        with _open(url, 0) as answer:
            return answer.read().decode("utf-8", "replace")

    return _with_retries(url, read, log, pause)


def _fetch_whole(url: str, part: Path, size: int | None, log: Callable[[str], None], pause: float) -> None:
    if size is not None and part.exists() and part.stat().st_size == size:
        return
    _with_retries(url, lambda: _fetch_rest(url, part, size, log), log, pause, lambda: _bytes_of(part))


def _with_retries(
    url: str,
    action: Callable[[], T],
    log: Callable[[str], None],
    pause: float,
    progress: Callable[[], int] = lambda: 0,
) -> T:
    """Run `action` until it succeeds; a try that brought new bytes does not count as a failure."""
    failures, before = 0, progress()
    while True:
        try:
            return action()
        except urllib.error.HTTPError as error:
            wait = _retry_after(error)
            _raise_refusal(url, error)
            reason = f"HTTP {error.code}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and _is_local(error):
                raise
            wait = 0.0
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        after = progress()
        failures = 1 if after > before else failures + 1
        before = after
        if failures >= ATTEMPTS:
            raise StageFailed(f"{url} cannot be downloaded after {failures} tries: {reason}; try again later")
        seconds = max(wait, min(LONGEST_PAUSE, pause * 2 ** (failures - 1)))
        log(f"{url}: {reason}; trying again in {seconds:.0f} s")
        time.sleep(seconds)


def _is_local(error: OSError) -> bool:
    """Whether the fault is of this machine's disk (full, read-only), not of the network."""
    return getattr(error, "filename", None) is not None or error.errno in (28, 30, 122)


def _raise_refusal(url: str, error: urllib.error.HTTPError) -> None:
    """Raise for an answer that another try would only repeat."""
    if error.code in (404, 410):
        raise NotFound(f"{url} does not exist (HTTP {error.code}); check the address") from error
    if error.code < 500 and error.code not in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS):
        raise InputError(f"{url}: the server refuses it (HTTP {error.code} {error.reason})") from error


def _retry_after(error: urllib.error.HTTPError) -> float:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(value), LONGEST_PAUSE) if value and is_whole_number(value) else 0.0


def _open(url: str, start: int) -> http.client.HTTPResponse:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is no address to download from; expected https://...")
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except (ValueError, http.client.InvalidURL) as error:
        raise InputError(f"{url!r} is no address to download from: {error}") from error


def _fetch_rest(url: str, part: Path, size: int | None, log: Callable[[str], None]) -> None:
    """Append what is missing to `part`; a server that ignores the range sends the whole file again."""
    start = _bytes_of(part)
    try:
        answer = _open(url, start)
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not start:
            raise
        if error.headers.get("Content-Range", "") == f"bytes */{start}":
            return  # all of it is there already
        part.unlink()
        answer = _open(url, 0)
    with answer:
        continued = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        )
        if answer.status == 206 and not continued:
            part.unlink(missing_ok=True)
            raise http.client.HTTPException("the server sent another range than asked for")
        with part.open("ab" if continued else "wb") as file:
            _copy(answer, file, part.name.removesuffix(".part"), size, log)


def _copy(
    answer: http.client.HTTPResponse, file: BinaryIO, name: str, size: int | None, log: Callable[[str], None]
) -> None:
    """Append the body of `answer`; raise when the connection ends before the length that it announced."""
    done, end = file.tell(), _end(answer, file.tell())
    total = size if end is None else end
    progress = Progress(
        total and math.ceil(total / MEGABYTE), "MB", f"downloading {name}", log, done // MEGABYTE
    )
    try:
        # read1 hands over what has arrived: a connection that breaks often still gets on.
        while block := answer.read1(BLOCK):
            file.write(block)
            done += len(block)
            progress.advance(done // MEGABYTE - progress.done)
    finally:
        progress.close()
    if end is not None and done < end:
        raise http.client.IncompleteRead(b"", end - done)


def _end(answer: http.client.HTTPResponse, start: int) -> int | None:
    """Return the bytes of a file to which the body of `answer` is added at `start`; None: it does not say."""
    length = answer.headers.get("Content-Length")
    return start + int(length) if length and is_whole_number(length) else None


def difference(path: Path, sums: Mapping[str, str], size: int | None = None) -> str:
    """Return how a file differs from the expected size and sums (by name: sha1, ...), or an empty string."""
    if size is not None and path.stat().st_size != size:
        return f"{path.stat().st_size} bytes instead of {size}"
    for name, expected in sums.items():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, name).hexdigest()
        if found != expected.lower():
            return f"{name} {found} instead of {expected}"
    return ""


def _bytes_of(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
