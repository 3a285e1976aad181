"""Whatever is sent: an answer that says what is wrong, never a 500, never a hang, and bounded memory."""

from __future__ import annotations

import json
import random
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from serve.running import PATIENCE, Running

REFUSED = {400, 408, 413, 415, 422}
WRONG: list[Any] = [None, True, 0, -1, 1.5, 10**400, [], {}, [[]], {"text": "a"}, float("nan"), float("inf")]
PARTS = [
    "kalomi",
    "\ud800",
    "\udfff\ud800",
    "\x00",
    "\u202e",
    "😀",
    "a\u0301" * 5,
    "<b>",
    "\\",
    '"',
    "ﷺ",
    "İ",
    " ",
]
MEBIBYTES = 256
"""That the process may grow by over all bodies; each is at most a tenth of a megabyte."""


def text(chance: random.Random) -> str:
    return "".join(chance.choices(PARTS, k=chance.randrange(40)))


def wrong_types(chance: random.Random) -> bytes:
    fields = chance.sample(["text", "texts", "calibrated", "words", ""], chance.randrange(4))
    return json.dumps(
        {field: chance.choice([*WRONG, text(chance), [text(chance)]]) for field in fields}
    ).encode()


def wrong_items(chance: random.Random) -> bytes:
    return json.dumps(
        {"texts": [chance.choice([*WRONG, text(chance)]) for _ in range(chance.randrange(300))]}
    ).encode()


def deep(chance: random.Random) -> bytes:
    depth = chance.choice([10, 200, 1_000, 20_000])
    opened, closed = chance.choice([("[", "]"), ('{"text":', "}"), ('{"texts":[', "]}")])
    return (
        opened * depth + chance.choice(['"a"', ""]) + closed * chance.choice([depth, depth - 1, 0])
    ).encode()


def huge_numbers(chance: random.Random) -> bytes:
    digits = "9" * chance.choice([20, 400, 5_000, 50_000])
    number = chance.choice([digits, f"-{digits}", f"1e{digits}", f"0.{digits}", "NaN", "-Infinity"])
    return f'{{"{chance.choice(["text", "calibrated", "x"])}": {number}}}'.encode()


def many_fields(chance: random.Random) -> bytes:
    return json.dumps({str(number): number for number in range(chance.choice([3, 6_000]))}).encode()


def duplicate_keys(chance: random.Random) -> bytes:
    values = [json.dumps(chance.choice([*WRONG, "ka"])) for _ in range(3)]
    return ("{" + ",".join(f'"text": {value}' for value in values) + "}").encode()


def escapes(chance: random.Random) -> bytes:
    return (
        b'{"text": "'
        + chance.choice([rb"\ud800", rb"\udc00\ud800", rb"\uZZZZ", rb"\x41", b"\n", b"\x01"])
        + b'"}'
    )


def wrong_utf8(chance: random.Random) -> bytes:
    wrong = chance.choice(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x90\x80\x80", b"\xe2\x82", b"\xfe\xff"]
    )
    return b'{"text": "' + wrong + b'"}'


def truncated(chance: random.Random) -> bytes:
    whole = json.dumps(
        {"texts": [text(chance).encode("utf-8", "ignore").decode() for _ in range(3)]}
    ).encode()
    return whole[: chance.randrange(len(whole))]


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 100, 10_000]))


def large(chance: random.Random) -> bytes:
    return json.dumps({"text": chance.choice(PARTS[3:]) * chance.choice([6_000, 200_000])}).encode()[:400_000]


def hard_text(chance: random.Random) -> bytes:
    """Return a request that is in order, of characters that are hard to read."""
    return json.dumps({"text": text(chance).encode("utf-16", "replace").decode("utf-16", "replace")}).encode()


KINDS: list[Callable[[random.Random], bytes]] = [
    wrong_types,
    wrong_items,
    deep,
    huge_numbers,
    many_fields,
    duplicate_keys,
    escapes,
    wrong_utf8,
    truncated,
    noise,
    large,
    hard_text,
]
HEADS: list[dict[str, str]] = [
    *[{"Content-Type": "application/json"}] * 6,
    {"Content-Type": "application/json; charset=utf-16"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "\xe4" * 100},
    {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    {},
]


def check(service: Running, seed: int) -> None:
    """Send one body; the service must answer it, and then a good one."""
    chance = random.Random(seed)
    body = KINDS[seed % len(KINDS)](chance)
    headers = chance.choice(HEADS)
    answer = service.ask("POST", chance.choice(["/predict", "/explain"]), body, headers)
    assert answer.status in {200, *REFUSED}, (seed, answer.status, answer.body)
    if answer.status == 200:
        assert headers == HEADS[0]
    else:
        error = answer.json["error"]
        assert error and "\n" not in error and len(error) < 200, (seed, error)


def peak_mebibytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def run(service: Running, seeds: range) -> None:
    before = peak_mebibytes()
    for seed in seeds:
        check(service, seed)
    assert peak_mebibytes() < before + MEBIBYTES
    assert service.post("/predict", {"text": "ka"}).status == 200
    assert b'status="500"' not in service.ask("GET", "/metrics").body


def test_sixty_hostile_bodies(service: Running) -> None:
    run(service, range(60))


@pytest.mark.soak
def test_two_thousand_hostile_bodies(service: Running) -> None:
    run(service, range(60, 2_060))


@pytest.mark.parametrize(
    "request_",
    [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200_000,
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=["no path", "TLS", "long header", "many headers", "length", "two lengths", "huge length", "path"],
)
def test_what_is_no_http_ends_the_connection(service: Running, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as connection:
        received = b""
        try:
            connection.sendall(request_)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                received += part
        except OSError as error:  # closed before all of it was sent
            assert not isinstance(error, TimeoutError)
    assert not received or received.split()[1][:1] == b"4"
    assert service.post("/predict", {"text": "ka"}).status == 200
