"""One download, resumed after every break, and checked before it gets its name."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import math
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from ulmfit import __version__
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.progress import Progress

USER_AGENT = f"ulmfit/{__version__} (research software; Python urllib)"
ATTEMPTS = 8
LONGEST_PAUSE = 60.0
TIMEOUT_SECONDS = 60.0
BLOCK = 1 << 20
MEGABYTE = 1_000_000
LARGEST_DOWNLOAD = 100_000_000_000
"""Most bytes of a file whose size is not known."""
LARGEST_TEXT = 16_000_000
"""Most bytes of a list of checksums or of a page; those of the largest Wikipedia have 1 % of it."""
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
    largest: int = LARGEST_DOWNLOAD,
    log: Callable[[str], None],
    pause: float = 1.0,
) -> None:
    """Download `url` to `target` through `target` + ".part", from where an earlier try broke off.

    Retries with growing pauses (`pause` seconds at first). `sums` are hexadecimal, by the name of their
    kind (md5, sha1, sha256); `size` is in bytes; without it no more than `largest` bytes are taken. Raises
    InputError when the server refuses the address or the finished file has another size or checksum,
    StageFailed when the server stays unreachable.
    """
    limit = largest if size is None else size
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _fetch_whole(url, part, size, limit, log, pause)
    problem = _too_long(part, size, limit) or difference(part, sums, size)
    if problem and resumed:
        log(f"{target.name}: the earlier part does not fit ({problem}); downloading it anew")
        part.unlink()
        _fetch_whole(url, part, size, limit, log, pause)
        problem = _too_long(part, size, limit) or difference(part, sums, size)
    if problem:
        part.unlink()
        raise InputError(f"{url}: the file that arrived is not the expected one: {problem}; it was removed")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def _too_long(part: Path, size: int | None, limit: int) -> str:
    if part.stat().st_size <= limit:
        return ""
    unknown = ", the most that is taken of a file whose size is not known" if size is None else ""
    return f"more than {limit:,} bytes{unknown}"


def fetch_text(url: str, *, log: Callable[[str], None], pause: float = 1.0) -> str:
    """Return a text file or page of at most LARGEST_TEXT bytes; raises like `download`."""

    def read() -> str:
        with _open(url, 0) as answer:
            content = answer.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise InputError(f"{url}: more than {LARGEST_TEXT:,} bytes: no list of checksums, and no page")
        if answer.length:
            raise http.client.IncompleteRead(content, answer.length)
        return content.decode("utf-8", "replace")

    return _with_retries(url, read, log, pause)


def read_beginning(
    url: str, use: Callable[[Iterator[bytes]], T], *, log: Callable[[str], None], pause: float = 1.0
) -> T:
    """Give `use` the blocks of a file from its beginning, of which it takes as many as it wants.

    Nothing is kept of a try that broke off. Returns what `use` returns; raises like `download`.
    """

    def read() -> T:
        with _open(url, 0) as answer:
            return use(iter(lambda: answer.read1(BLOCK), b""))

    return _with_retries(url, read, log, pause)


def _fetch_whole(
    url: str, part: Path, size: int | None, limit: int, log: Callable[[str], None], pause: float
) -> None:
    if size is not None and part.exists() and part.stat().st_size == size:
        return
    _with_retries(url, lambda: _fetch_rest(url, part, size, limit, log), log, pause, lambda: _bytes_of(part))


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
    """Whether the fault is in this machine's disk (full, read-only) and not in the network."""
    return getattr(error, "filename", None) is not None or error.errno in (28, 30, 122)


def _raise_refusal(url: str, error: urllib.error.HTTPError) -> None:
    """Raise for an answer that would be the same at the next try."""
    if error.code in (404, 410):
        raise NotFound(f"{url} does not exist (HTTP {error.code}); check the address") from error
    if error.code < 500 and error.code not in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS):
        raise InputError(f"{url}: the server refuses it (HTTP {error.code} {error.reason})") from error


def _retry_after(error: urllib.error.HTTPError) -> float:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    return min(float(_number(value) or 0), LONGEST_PAUSE)


def _number(text: str | None) -> int | None:
    """Read a whole number of a server's answer; None where there is none."""
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only; urllib would follow them to FTP too."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for the new address; raises InputError for one that is not of the web."""
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str) -> None:
    """Raise InputError unless the address is of the web; ValueError where it cannot be read at all."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is no address to download from; expected https://...")


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        _check_address(url)
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.build_opener(_WebOnly).open(request, timeout=TIMEOUT_SECONDS)
    except (ValueError, http.client.InvalidURL) as error:
        raise InputError(f"{url!r} is no address to download from: {error}") from error


def _fetch_rest(url: str, part: Path, size: int | None, limit: int, log: Callable[[str], None]) -> None:
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
            _copy(answer, file, part.name.removesuffix(".part"), size, limit, log)


def _copy(
    answer: http.client.HTTPResponse,
    file: BinaryIO,
    name: str,
    size: int | None,
    limit: int,
    log: Callable[[str], None],
) -> None:
    """Append the body of `answer`; raise when the connection ends before the length that it announced.

    Once the file is longer than `limit`, nothing more is taken: it is not the one that is wanted.
    """
    done, end = file.tell(), _end(answer, file.tell())
    total = size if end is None else end
    progress = Progress(
        total and math.ceil(total / MEGABYTE), "MB", f"downloading {name}", log, done // MEGABYTE
    )
    try:
        # read1 returns what has arrived so far, so that a connection that breaks often makes progress too.
        while block := answer.read1(BLOCK):
            file.write(block)
            done += len(block)
            progress.advance(done // MEGABYTE - progress.done)
            if done > limit:
                return
    finally:
        progress.close()
    if end is not None and done < end:
        raise http.client.IncompleteRead(b"", end - done)


def _end(answer: http.client.HTTPResponse, start: int) -> int | None:
    """Return the bytes of the whole file once the body of `answer` is added at `start`; None: unknown."""
    length = _number(answer.headers.get("Content-Length"))
    return None if length is None else start + length


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
