"""Figures of a running service in the text format of Prometheus; no text of a request is among them."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests and batches; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._texts = self._batches = 0
        self._computing = 0.0

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count one answer; `path` is one of the service's own."""
        with self._lock:
            self._requests[path, status] += 1
            buckets = self._buckets.setdefault(path, [0] * len(SECONDS))
            for place, bound in enumerate(SECONDS):
                buckets[place] += seconds <= bound
            self._seconds[path] += seconds

    def count_batch(self, texts: int, seconds: float) -> None:
        """Count what was computed together."""
        with self._lock:
            self._texts += texts
            self._batches += 1
            self._computing += seconds

    def text(self, waiting: int) -> str:
        """Return all figures; `waiting` are the texts in the queue."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines(waiting))

    def _lines(self, waiting: int) -> Iterable[str]:
        yield "# HELP ulmfit_requests_total Answers, by path and HTTP status."
        yield "# TYPE ulmfit_requests_total counter"
        for (path, status), number in sorted(self._requests.items()):
            yield f'ulmfit_requests_total{{path="{path}",status="{status}"}} {number}'
        yield "# HELP ulmfit_request_seconds Time from the head of a request to its answer."
        yield "# TYPE ulmfit_request_seconds histogram"
        for path, buckets in sorted(self._buckets.items()):
            number = sum(count for (of, _), count in self._requests.items() if of == path)
            for bound, below in zip((*SECONDS, "+Inf"), (*buckets, number), strict=True):
                yield f'ulmfit_request_seconds_bucket{{path="{path}",le="{bound}"}} {below}'
            yield f'ulmfit_request_seconds_sum{{path="{path}"}} {self._seconds[path]:.6f}'
            yield f'ulmfit_request_seconds_count{{path="{path}"}} {number}'
        for name, kind, title, value in (
            ("texts_total", "counter", "Texts that were computed.", self._texts),
            ("batches_total", "counter", "Batches that were computed.", self._batches),
            ("computing_seconds_total", "counter", "Time spent computing.", f"{self._computing:.6f}"),
            ("waiting_texts", "gauge", "Texts in the queue.", waiting),
        ):
            yield f"# HELP ulmfit_{name} {title}"
            yield f"# TYPE ulmfit_{name} {kind}"
            yield f"ulmfit_{name} {value}"
