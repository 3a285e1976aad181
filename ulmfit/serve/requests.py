"""Reads a request: a body within its limits, JSON of the expected form, texts that can be encoded.

What was sent is never quoted in an error: errors may be logged by others, and texts are the users' own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import ClientDisconnect, Request

from ulmfit.serve.settings import ServeSettings

JSON = "application/json"
ANY_JSON: TypeAdapter[Any] = TypeAdapter(Any)
"""Pydantic's parser: it refuses wrong UTF-8, halves of surrogate pairs, and what is nested too deeply."""


class Refused(Exception):
    """A request that is not answered as asked: an HTTP status, and one line that says why."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


@dataclass(frozen=True)
class Asked:
    """The texts of a request, and whether calibrated probabilities are asked for."""

    texts: list[str]
    calibrated: bool = False


async def read_predict(request: Request, settings: ServeSettings) -> Asked:
    """Read `{"text": …}` or `{"texts": […]}`, with `calibrated` or not; raises Refused."""
    content = await _object(request, settings, {"text", "texts", "calibrated"})
    if ("text" in content) == ("texts" in content):
        raise Refused(422, "expected either text, a string, or texts, a list of strings")
    texts = content["texts"] if "texts" in content else [content["text"]]
    if not isinstance(texts, list) or not texts:
        raise Refused(422, "texts: expected a list of one string or more")
    if len(texts) > settings.most_texts:
        raise Refused(422, f"texts: {len(texts):,} of them, expected {settings.most_texts:,} at most")
    calibrated = content.get("calibrated", False)
    if not isinstance(calibrated, bool):
        raise Refused(422, "calibrated: expected true or false")
    return Asked([_text(text, number, settings) for number, text in enumerate(texts, 1)], calibrated)


async def read_explain(request: Request, settings: ServeSettings) -> Asked:
    """Read `{"text": …}`; raises Refused."""
    content = await _object(request, settings, {"text"})
    if "text" not in content:
        raise Refused(422, "text is missing: expected a string")
    return Asked([_text(content["text"], 1, settings)])


def _text(text: Any, number: int, settings: ServeSettings) -> str:
    if not isinstance(text, str):
        raise Refused(422, f"text {number}: expected a string")
    if len(text) > settings.longest_text:
        raise Refused(
            422, f"text {number} has {len(text):,} characters, expected {settings.longest_text:,} at most"
        )
    return text


async def _object(request: Request, settings: ServeSettings, known: set[str]) -> dict[str, Any]:
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != JSON or charset not in ("", "utf-8", "utf8"):
        raise Refused(415, f"expected a body of Content-Type {JSON}, in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "expected a body without Content-Encoding")
    try:
        # Of a key that stands twice the last value counts, as in other parsers.
        content = ANY_JSON.validate_json(await _body(request, settings))
    except ValueError:
        raise Refused(400, "the body is no JSON in UTF-8") from None
    if not isinstance(content, dict):
        raise Refused(422, "expected a JSON object")
    if unknown := len(content.keys() - known):
        fields = ", ".join(sorted(known))
        raise Refused(422, f"{unknown} fields are unknown: expected no other than {fields}")
    return content


async def _body(request: Request, settings: ServeSettings) -> bytes:
    """Return the body; nothing is kept of one that is too large, and reading ends when it is too slow."""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size > settings.largest_body:
                    # The server reads the rest and throws it away, so that the client can read the answer.
                    raise Refused(413, f"the body is larger than {settings.largest_body:,} bytes")
                body += part
    except TimeoutError:
        message = f"the body did not arrive in {settings.body_seconds:g} s"
        raise Refused(408, message, {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Refused(400, "the body did not arrive") from None
    return bytes(body)
