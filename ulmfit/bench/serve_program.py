"""What the processes of `ulmfit bench serve` run; arguments: BUNDLE CONNECTIONS REQUESTS BATCHED WAITING.

It starts `ulmfit serve` in another process and asks it over so many connections, a text per request, each
connection as soon as it has its answer. A refused request (429) is asked again after the seconds that the
answer names. Nothing may be lost: every request has its answer in the end, the one that its text gets alone.
The last line of the output is a JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from ulmfit.pipeline.child_processes import SAFE_PYTHON
from ulmfit.pipeline.errors import StageFailed

WARMING = 20
"""Requests before the clock runs."""
SAME = 1e-5
"""By which a probability may differ from that of the text alone."""
CHECKED = 50
"""Texts that are asked for alone as well."""
_ADDRESS = re.compile(r"serving .* at http://127\.0\.0\.1:(\d+) ")
_HEAD = re.compile(rb"HTTP/1\.1 (\d+).*?\r\n")
Answer = dict[str, object]


@dataclass
class Seen:
    """What the connections have met."""

    seconds: list[float] = field(default_factory=list)
    """From the first try of a request to its answer."""
    answers: dict[int, Answer] = field(default_factory=dict)
    """By the number of the request."""
    refused: int = 0


def texts_of(requests: int) -> list[str]:
    """Return as many reviews in the invented language."""
    from ulmfit.toy.reviews import reviews

    made = [review.text for review in reviews(1, 0, 0, 500, 0)["test"]]
    return random.Random(0).choices(made, k=requests)


class Connection:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, text: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer."""
        body = json.dumps({"text": text}).encode()
        head = f"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        begun = await self._reader.readuntil(b"\r\n\r\n")
        match = _HEAD.match(begun)
        assert match, begun
        lines = begun.decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(match[1]), headers, await self._reader.readexactly(int(headers["content-length"]))

    async def close(self) -> None:
        """Close it."""
        self._writer.close()
        await self._writer.wait_closed()


async def asked(port: int, texts: Sequence[str], connections: int) -> Seen:
    """Ask for all texts over so many connections; raises StageFailed for an answer that is none."""
    seen = Seen()
    waiting = iter(enumerate(texts))

    async def one_connection() -> None:
        connection = Connection(port)
        await connection.open()
        for number, text in waiting:
            started = time.perf_counter()
            while True:
                status, headers, body = await connection.ask(text)
                if status != 429:
                    break
                seen.refused += 1
                await asyncio.sleep(float(headers["retry-after"]))
            if status != 200:
                raise StageFailed(f"the service answered {status}: {body[:200].decode()}")
            seen.seconds.append(time.perf_counter() - started)
            seen.answers[number] = json.loads(body)["predictions"][0]
        await connection.close()

    # Not a TaskGroup: the last line of what it raises does not say what has failed.
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    return seen


def check(answers: dict[int, Answer], alone: dict[int, Answer], requests: int) -> None:
    """Raise StageFailed where a request has no answer, or another one than its text alone."""
    if len(answers) < requests:
        raise StageFailed(f"{requests - len(answers)} of {requests} requests were lost")
    for number, expected in alone.items():
        for label, probability in expected["probabilities"].items():  # type: ignore[attr-defined]
            found = answers[number]["probabilities"][label]  # type: ignore[index]
            if abs(found - probability) > SAME:
                raise StageFailed(f"request {number} has another answer than its text alone")


@contextmanager
def service(bundle: str, *options: str):  # type: ignore[no-untyped-def]
    """Start `ulmfit serve`; yield its port; end it, and StageFailed where it does not end as it should."""
    command = [*SAFE_PYTHON, "-m", "ulmfit", "serve", bundle, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output: IO[str] | None = process.stdout
            assert output is not None
            found = _ADDRESS.match(line := output.readline())
            if found is None:
                raise StageFailed(f"ulmfit serve did not start: it said {line.strip()!r}")
            yield int(found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait()
    if status:
        raise StageFailed(f"ulmfit serve ended with exit status {status}")


def main(bundle: str, connections: int, requests: int, batched: int, waiting: int) -> dict[str, float]:
    """Ask the service, and return the figures."""
    texts = texts_of(requests)
    with service(bundle, "--most-batched", str(batched), "--most-waiting", str(waiting)) as port:
        asyncio.run(asked(port, texts[:WARMING], 1))
        alone = asyncio.run(asked(port, texts[:CHECKED], 1))
        started = time.perf_counter()
        seen = asyncio.run(asked(port, texts, connections))
        seconds = time.perf_counter() - started
    check(seen.answers, alone.answers, requests)
    ordered = sorted(seen.seconds)
    return {
        "seconds": seconds,
        "requests": requests,
        "lost": 0,
        "refused": seen.refused,
        "p50_milliseconds": round(1_000 * ordered[len(ordered) // 2], 2),
        "p99_milliseconds": round(1_000 * ordered[len(ordered) * 99 // 100], 2),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], *map(int, sys.argv[2:]))))
