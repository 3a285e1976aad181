"""Resets of the state in training: documents are scored and classified from an empty state too."""

from __future__ import annotations

from fastai.callback.core import Callback

from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.settings import LanguageModelSettings


def forgetting(settings: LanguageModelSettings, loader: StreamLoader) -> list[Callback]:
    """Return the callbacks that `reset_state_every` asks for: one, or none."""
    every = settings.reset_state_every
    return [ForgetState(every, loader.first_stream)] if every else []


class ForgetState(Callback):
    """Sets the state of each stream to zero once per `every` chunks, not all streams at once.

    Without it streams carry their state from document to document, and the model meets an empty state only
    in the first chunk of an epoch. When a stream is reset depends only on the chunk's place in the epoch and
    on the stream's number (this process has the streams from `first_stream` on). So a resumed run does the
    same, and so do several processes.
    """

    run_valid = False

    def __init__(self, every: int, first_stream: int) -> None:
        self.every, self.first_stream = every, first_stream

    def before_batch(self) -> None:
        first = -(self.first_stream + self.learn.iter) % self.every
        self.learn.inner.forget(slice(first, None, self.every))
