"""One thread owns the classifier; what waits while it computes is computed together next.

Nothing waits for more texts to come: a single request is computed at once, and under load batches grow by
themselves. The classifier sorts the texts of a batch by length.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy

from ulmfit.classifier.occlusion import NO_WORDS
from ulmfit.pipeline.errors import InputError

if TYPE_CHECKING:
    from ulmfit.bundle.classifier import TextClassifier
    from ulmfit.classifier.occlusion import Explanation

LONGEST_RETRY = 60
"""Seconds, the most that a client is told to wait."""
KEPT = 0.8
"""Of the mean of seconds per text, at each batch; the rest is the newest batch's."""


class QueueFull(Exception):
    """No room for a request; `seconds` is when there may be some."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"no room for {seconds} s")
        self.seconds = seconds


class Stopped(Exception):
    """The service ends, and takes nothing more."""


@dataclass(frozen=True)
class Computed:
    """What the classifier gave for the texts of one request."""

    values: numpy.ndarray
    """Probabilities (texts, labels), or numbers (texts, 1)."""
    explanation: Explanation | None = None
    """None: not asked for."""


@dataclass(frozen=True)
class _Job:
    texts: Sequence[str]
    explained: bool
    cost: int
    """Texts that it has the classifier read, about."""
    answer: Future[Computed] = field(default_factory=Future)


class Batcher:
    """A queue of requests, and the thread that answers them; `submit` may be called from any thread."""

    def __init__(
        self,
        classifier: TextClassifier,
        *,
        most_waiting: int,
        most_batched: int,
        most_explained: int,
        measured: Callable[[int, float], None] = lambda texts, seconds: None,
    ) -> None:
        """Limits as in `ServeSettings`; `measured` gets the texts and seconds of every batch."""
        self._classifier = classifier
        self._most_waiting, self._most_batched = most_waiting, most_batched
        self._most_explained = most_explained
        self._measured = measured
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._seconds_per_text = 0.0
        self._thread = threading.Thread(target=self._work, name="classifier", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, take nothing more, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._stopping

    @property
    def waiting(self) -> int:
        """How many texts wait."""
        with self._changed:
            return self._texts_waiting()

    def submit(self, texts: Sequence[str], *, explained: bool = False) -> Future[Computed]:
        """Queue one request; its answer raises InputError for a text that cannot be explained.

        `explained`: of one text, its words as well. A cancelled answer is not computed any more. Raises
        QueueFull when there is no room; a request larger than the whole queue is taken when nothing waits.
        """
        words = len(texts[0].split()) if explained else 0
        job = _Job(texts, explained, len(texts) + words)
        with self._changed:
            if self._stopping:
                raise Stopped
            waiting = self._texts_waiting()
            if waiting and waiting + job.cost > self._most_waiting:
                raise QueueFull(self._seconds_left(waiting))
            self._waiting.append(job)
            self._changed.notify()
        return job.answer

    def _texts_waiting(self) -> int:
        """Return the texts of the queue, after those that nobody waits for any more have left it."""
        if any(job.answer.cancelled() for job in self._waiting):
            self._waiting = deque(job for job in self._waiting if not job.answer.cancelled())
        return sum(job.cost for job in self._waiting)

    def _seconds_left(self, texts: int) -> int:
        return min(LONGEST_RETRY, max(1, math.ceil(texts * self._seconds_per_text)))

    def _work(self) -> None:
        while batch := self._next_batch():
            started = time.monotonic()
            if batch[0].explained:
                self._answer(batch[0])
            else:
                self._answer_together(batch)
            texts, seconds = sum(job.cost for job in batch), time.monotonic() - started
            self._measured(sum(len(job.texts) for job in batch), seconds)
            with self._changed:
                newest = seconds / texts
                before = self._seconds_per_text or newest
                self._seconds_per_text = KEPT * before + (1 - KEPT) * newest

    def _next_batch(self) -> list[_Job]:
        """Wait for requests; return the first ones that are computed together; none at the end.

        An explanation is computed alone: it is a batch of its own already.
        """
        batch: list[_Job] = []
        with self._changed:
            while not batch:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if not self._waiting:
                    return []
                texts = 0
                while self._waiting and not (batch and self._closes(batch[0], self._waiting[0], texts)):
                    job = self._waiting.popleft()
                    if job.answer.set_running_or_notify_cancel():
                        batch.append(job)
                        texts += len(job.texts)
        return batch

    def _closes(self, first: _Job, following: _Job, texts: int) -> bool:
        """Return whether a request is not computed together with the batch before it."""
        return first.explained or following.explained or texts + len(following.texts) > self._most_batched

    def _answer_together(self, batch: Sequence[_Job]) -> None:
        try:
            values = self._classifier.values([text for job in batch for text in job.texts])
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            # One text must not spoil the others' answers.
            for job in batch:
                self._answer_together([job])
            return
        ends = numpy.cumsum([len(job.texts) for job in batch])
        for job, end in zip(batch, ends, strict=True):
            job.answer.set_result(Computed(values[end - len(job.texts) : end]))

    def _answer(self, job: _Job) -> None:
        try:
            (text,) = job.texts
            tokens = self._classifier.explanation_cost(text)
            if tokens > self._most_explained:
                raise InputError(
                    f"the text is too long to be explained: its explanation reads {tokens:,} tokens, "
                    f"expected {self._most_explained:,} at most"
                )
            # One token is xxbos: there is no word in the text.
            explanation = self._classifier.explain(text) if tokens > 1 else NO_WORDS
            job.answer.set_result(Computed(self._classifier.values(job.texts), explanation))
        except Exception as error:
            job.answer.set_exception(error)
