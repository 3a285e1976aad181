"""Training texts that a language model meets in other pieces every epoch (subword regularisation)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ulmfit.corpus.stored import batches
from ulmfit.language_model.loader import StreamLoader, as_read
from ulmfit.language_model.settings import LanguageModelSettings
from ulmfit.language_model.stages import BackwardOrder
from ulmfit.pipeline.grouping import grouped
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray, TokenArrayWriter
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.distribution import SINGLE, Distribution
from ulmfit.training.resampling import resampling_seed

PART_CHARACTERS = 4_000_000
"""Of documents that are sampled with one seed; other parts would be other pieces."""


@dataclass(frozen=True)
class SampledStreams:
    """The documents of the training split, encoded by `Tokenizer.sample` with other pieces every epoch.

    An epoch's tokens lie in the scratch folder while it is trained on. They depend on the documents, the
    tokenizer, strength, seed and epoch alone: a killed run writes the same bytes again. Of several processes
    the first one writes them, and all read.
    """

    documents: Path
    """A documents.parquet; only its training split is read."""
    plain: TokenArray
    """The same documents as `Tokenizer.encode` has them."""
    tokenizer: Tokenizer
    settings: LanguageModelSettings
    seed: int
    backward: bool
    work: Work
    distribution: Distribution = SINGLE
    order: BackwardOrder = "bos-first"

    @contextmanager
    def epoch(self, number: int) -> Iterator[StreamLoader]:
        """Lend the loader of epoch `number`, counted over all phases; its file is removed afterwards."""
        folder = self.work.scratch() / "sampled"
        if self.distribution.is_main:
            # A killed run left its epoch here.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            self._write(number, folder)
        self.distribution.barrier()
        array = TokenArray.open(folder, "train")
        tokens = len(array.tokens)
        ratio = tokens / len(self.plain.tokens)
        self.work.log(f"epoch {number + 1} of all: {tokens:,} tokens, {ratio:.2f} times the plain ones")
        read = as_read(array, self.tokenizer.bos_id, backward=self.backward, order=self.order)
        loader = self._loader(read)
        yield loader.in_epoch(number)
        self.distribution.barrier()
        if self.distribution.is_main:
            shutil.rmtree(folder)

    def _loader(self, array: TokenArray) -> StreamLoader:
        return StreamLoader(
            array.tokens,
            self.settings.batch_size,
            self.settings.bptt,
            offsets=array.offsets if self.settings.shuffle_documents else None,
            seed=self.seed,
            jitter=self.settings.bptt_jitter != "off",
            rank=self.distribution.rank,
            ranks=self.distribution.world,
            device=self.distribution.device,
        )

    def _write(self, number: int, folder: Path) -> None:
        progress = self.work.progress(len(self.plain), "documents cut anew")
        with TokenArrayWriter(folder, "train", self.tokenizer.size) as writer:
            for part, texts in enumerate(grouped(_training_texts(self.documents), len, PART_CHARACTERS)):
                seed = resampling_seed(self.seed, number, part)
                writer.append(self.tokenizer.sample(texts, self.settings.subword_sampling, seed))
                progress.advance(len(texts))
        progress.close()


def _training_texts(documents: Path) -> Iterator[str]:
    for batch in batches(documents, ["text", "split"]):
        for text, split in zip(batch["text"].to_pylist(), batch["split"].to_pylist(), strict=True):
            if split == "train":
                yield text
