"""The service as an ASGI application: its paths, and what every answer has."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ulmfit.bundle.outputs import Prediction, content_of
from ulmfit.pipeline.errors import DamagedModel, InputError
from ulmfit.pipeline.printing import show
from ulmfit.serve.batching import Batcher, Computed, QueueFull, Stopped
from ulmfit.serve.metrics import CONTENT_TYPE, Metrics
from ulmfit.serve.openapi import openapi
from ulmfit.serve.requests import Asked, Refused, read_explain, read_predict
from ulmfit.serve.settings import ServeSettings

if TYPE_CHECKING:
    from ulmfit.bundle.classifier import TextClassifier

PAGE = Path(__file__).with_name("page.html")
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_TEXT = {"error": "there is no text"}
CLIENT_LEFT = 499
"""Stands in the metrics where a client closed its connection before the answer; no client sees it."""

Handler = Callable[[Request], Awaitable[Response]]


class Service:
    """One classifier, its queue and its figures; the methods answer the paths."""

    def __init__(self, classifier: TextClassifier, settings: ServeSettings) -> None:
        self._classifier, self._settings = classifier, settings
        self._metrics = Metrics()
        self._requests = 0
        self._page = PAGE.read_text(encoding="utf-8")
        self._openapi = openapi(classifier.description, settings)
        self.batcher = Batcher(
            classifier,
            most_waiting=settings.most_waiting,
            most_batched=settings.most_batched,
            most_explained=settings.most_explained,
            measured=self._metrics.count_batch,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Run the thread that computes; at the end it answers what still waits."""
        self.batcher.start()
        yield
        await asyncio.to_thread(self.batcher.stop)

    async def predict(self, request: Request) -> Response:
        """Label one text or many; a text without content has an error in place of a label."""
        with self._counted():
            return await self._predict(request)

    async def explain(self, request: Request) -> Response:
        """Label one text, and say what each of its words did."""
        with self._counted():
            return await self._explain(request)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Refuse a request before its body is read where there are too many already."""
        if self._requests >= self._settings.most_requests:
            raise QueueFull(1)
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def _predict(self, request: Request) -> Response:
        asked = await read_predict(request, self._settings)
        if asked.calibrated and self._classifier.description.temperature is None:
            raise Refused(422, "calibrated: this classifier has no temperature: expected false")
        full = [text for text in asked.texts if text.strip()]
        predictions: list[dict[str, Any]] = [NO_TEXT] * len(asked.texts)
        if full:
            computed = await self._computed(request, full)
            found = iter(self._contents(asked, computed))
            predictions = [next(found) if text.strip() else NO_TEXT for text in asked.texts]
        return JSONResponse({"predictions": predictions})

    async def _explain(self, request: Request) -> Response:
        asked = await read_explain(request, self._settings)
        computed = await self._computed(request, asked.texts, explained=True)
        (content,) = self._contents(asked, computed)
        assert computed.explanation is not None
        return JSONResponse({**content, "cut": computed.explanation.cut})

    async def health(self, request: Request) -> Response:
        """Say which model answers, and within which limits."""
        description, alive = self._classifier.description, self.batcher.alive
        content = {
            "status": "ok" if alive else "stopping",
            "model": description.name,
            "row": description.row,
            "language": description.language,
            "task": description.task,
            "labels": list(description.labels),
            "calibrated": description.temperature is not None,
            "limits": self._settings.model_dump(include={"largest_body", "most_texts", "longest_text"}),
        }
        return JSONResponse(content, status_code=200 if alive else 503)

    async def metrics(self, request: Request) -> Response:
        """Return the figures for Prometheus."""
        return PlainTextResponse(self._metrics.text(self.batcher.waiting), media_type=CONTENT_TYPE)

    async def openapi(self, request: Request) -> Response:
        """Return the description of the service."""
        return JSONResponse(self._openapi)

    async def page(self, request: Request) -> Response:
        """Return the page on which a person tries the classifier."""
        return HTMLResponse(self._page, headers={"Content-Security-Policy": policy(self._page)})

    def endpoint(self, path: str, handler: Handler) -> Handler:
        """Return what calls a handler: every error becomes one line of JSON, every answer is counted."""

        async def answered(request: Request) -> Response:
            started = time.monotonic()
            try:
                response = await handler(request)
            except Exception as error:
                response = _error(error, path)
            response.headers.update(HEADERS)
            self._metrics.count_request(path, response.status_code, time.monotonic() - started)
            return response

        return answered

    async def not_found(self, request: Request, error: Exception) -> Response:
        """Answer for a path or a method that is not there."""
        assert isinstance(error, HTTPException)
        self._metrics.count_request("other", error.status_code, 0.0)
        headers = {**HEADERS, **(error.headers or {})}
        return JSONResponse({"error": error.detail}, error.status_code, headers)

    async def _computed(self, request: Request, texts: Sequence[str], *, explained: bool = False) -> Computed:
        """Return what the classifier gives; the request leaves the queue when its client has gone."""
        answer = asyncio.wrap_future(self.batcher.submit(texts, explained=explained))
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        left = asyncio.ensure_future(_left(request))
        either: set[asyncio.Future[Any]] = {answer, left}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise Refused(CLIENT_LEFT, "the client closed the connection")
            return answer.result()
        finally:
            left.cancel()
            answer.cancel()

    def _contents(self, asked: Asked, computed: Computed) -> list[dict[str, Any]]:
        values = computed.values
        chosen: Sequence[Any] = self._classifier.chosen(values)
        shown = self._classifier.calibrated(values) if asked.calibrated else values
        description = self._classifier.description
        return [
            content_of(description, Prediction(number, "", value, numbers, computed.explanation))
            for number, (value, numbers) in enumerate(zip(chosen, shown, strict=True), 1)
        ]


def make_app(classifier: TextClassifier, settings: ServeSettings) -> Starlette:
    """Return the application; its lifespan starts and ends the thread that computes."""
    service = Service(classifier, settings)
    routes = [
        Route(path, service.endpoint(path, handler), methods=[method])
        for path, method, handler in (
            ("/", "GET", service.page),
            ("/predict", "POST", service.predict),
            ("/explain", "POST", service.explain),
            ("/health", "GET", service.health),
            ("/metrics", "GET", service.metrics),
            ("/openapi.json", "GET", service.openapi),
        )
    ]
    app = Starlette(
        routes=routes,
        lifespan=service.lifespan,
        exception_handlers={HTTPException: service.not_found},
    )
    app.router.redirect_slashes = False
    return app


def policy(page: str) -> str:
    """Return the Content-Security-Policy of a page: its own script and style, and calls of its own server."""
    own = {
        kind: " ".join(
            f"'sha256-{_hash(part)}'" for part in re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.S)
        )
        for kind in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {own['script']}; style-src {own['style']}; connect-src 'self'; "
        f"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(part: str) -> str:
    return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()


async def _left(request: Request) -> None:
    """Return when the client has closed its connection; to be called after its body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _error(error: Exception, path: str) -> Response:
    """Return the answer for an error. Nothing of a request is printed: texts are the users' own."""
    if isinstance(error, Refused):
        return _refusal(error.status, error.message, error.headers)
    if isinstance(error, QueueFull):
        message = f"too many requests wait: try again in {error.seconds} s"
        return _refusal(429, message, {"Retry-After": str(error.seconds)})
    if isinstance(error, Stopped):
        return _refusal(503, "the service ends", {"Connection": "close"})
    if isinstance(error, DamagedModel):
        show(f"serve: {path} failed: the bundle is damaged: {error}", sys.stderr)
        return _refusal(500, str(error))
    if isinstance(error, InputError):
        return _refusal(422, str(error))
    places = traceback.extract_tb(error.__traceback__)
    place = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else "?"
    show(f"serve: {path} failed: {type(error).__name__} at {place}", sys.stderr)
    return _refusal(500, "the service has failed: its log says where")


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)
