"""The texts that a tokenizer is trained on, read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pyarrow import RecordBatch, compute

from ulmfit.corpus.hash_sample import HashSample
from ulmfit.corpus.stored import batches

_SALT = "tokenizer sample"


class TrainingTexts(Protocol):
    """Texts that a tokenizer is trained on; they can be read several times."""

    def texts(self) -> Iterator[str]:
        """Yield the texts, always in the same order."""
        ...


class TrainingSample:
    """An unbiased sample of whole documents of the training split, chosen by a hash of their ids.

    The documents are taken in the order of their hashes until they have `limit` bytes; the last may exceed
    it. Holds the ids of the sample, no texts.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """Choose the documents; reads the file once."""
        self._path = path
        self.all_documents = 0
        sample: HashSample[tuple[str, int]] = HashSample(_SALT, limit)
        for batch in self._training_batches():
            sizes = compute.binary_length(batch["text"]).to_pylist()
            for name, size in zip(batch["id"].to_pylist(), sizes, strict=True):
                sample.offer(name, (name, size), size)
            self.all_documents += batch.num_rows
        chosen = sample.items()
        self._chosen = frozenset(name for name, _ in chosen)
        self.bytes = sum(size for _, size in chosen)

    @property
    def documents(self) -> int:
        """The number of documents in the sample."""
        return len(self._chosen)

    def texts(self) -> Iterator[str]:
        """Yield the chosen texts in the order of the file."""
        for batch in self._training_batches():
            for name, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                if name in self._chosen:
                    yield text

    def _training_batches(self) -> Iterator[RecordBatch]:
        for batch in batches(self._path, ["id", "text", "split"]):
            yield batch.filter(compute.equal(batch["split"], "train"))


class WithTarget:
    """A sample of a corpus, then texts of a task, which are repeated until they make up their share."""

    def __init__(self, corpus: TrainingSample, target: TrainingSample, share: float) -> None:
        self._corpus = corpus
        self._target = target
        wanted = corpus.bytes * share / (1 - share)
        self.repeats = max(1, round(wanted / target.bytes)) if target.bytes else 1
        size = self.repeats * target.bytes
        self.share = size / max(corpus.bytes + size, 1)
        """Share of the bytes that are the target's: whole repeats only, so near the share that was asked
        for."""

    def texts(self) -> Iterator[str]:
        """Yield the texts of the corpus, then those of the task."""
        yield from self._corpus.texts()
        for _ in range(self.repeats):
            yield from self._target.texts()
