"""Training chunks that begin without a past, as every document does that is scored or classified alone."""

from __future__ import annotations

from fastai.callback.core import Callback

from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.settings import LanguageModelSettings


def forgetting(settings: LanguageModelSettings, loader: StreamLoader) -> list[Callback]:
    """Return the callbacks that `forget_after` asks for: one, or none."""
    return [ForgetState(settings.forget_after, loader.first_stream)] if settings.forget_after else []


class ForgetState(Callback):
    """Sets each stream's state to zero before every `every`-th chunk, one stream after the other.

    Streams carry their state from document to document, so that a model never meets an empty one after the
    first chunk of an epoch. A function of the chunk's place in the epoch and of the stream, of which this
    process has those from `first_stream` on: a resumed run and one of several processes do the same.
    """

    run_valid = False

    def __init__(self, every: int, first_stream: int) -> None:
        self.every, self.first_stream = every, first_stream

    def before_batch(self) -> None:
        first = -(self.first_stream + self.learn.iter) % self.every
        self.learn.inner.forget(slice(first, None, self.every))
