"""The tokenizer card: what one chooses a vocabulary by, for one tokenizer or several side by side."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.pipeline.stage import Stage, Work
from ulmfit.tokens.stages import TokenizerStage

CARD, PIECES = "card.json", "pieces.json"


class TokenizerCard(Stage):
    """Measures tokenizers on the same texts: `card.json` has numbers alone, `pieces.json` pieces.

    Measured are validation documents of a corpus, which no tokenizer is trained on, and the texts of a data
    set: train and valid together, and test by itself, as a check that nothing depends on. Labels are never
    read. Texts of the task that hold unknown tokens are a warning.
    """

    stage_name: ClassVar[str] = "tokenizer-card"
    stage_version: ClassVar[int] = 2

    tokenizers: tuple[TokenizerStage, ...] = Field(min_length=1, description="one column each, in this order")
    documents: CorpusStage = Field(description="corpus whose validation split is encoded")
    target: DatasetStage | None = Field(None, description="data set whose texts are encoded; None: none")
    sample_bytes: int = Field(
        5_000_000,
        ge=1,
        description="bytes of UTF-8 taken of either, whole texts, an unbiased sample by a hash of the id",
    )
    listed_pieces: int = Field(
        40, ge=0, description="longest, and rarest, pieces of each tokenizer to list; 0: none"
    )

    def build(self, work: Work) -> None:
        """Encode both samples with every tokenizer."""
        from ulmfit.pipeline.files import write_json
        from ulmfit.tokens.loading import load_tokenizer
        from ulmfit.tokens.statistics import (
            measure,
            sample_of_dataset,
            sample_of_documents,
            size_of,
            unknown_warning,
        )

        samples = {"corpus": sample_of_documents(work.input(self.documents), self.sample_bytes)}
        if self.target is not None:
            folder = work.input(self.target)
            samples["target"] = sample_of_dataset(folder, ("train", "valid"), self.sample_bytes)
            samples["test"] = sample_of_dataset(folder, ("test",), self.sample_bytes)
        sizes = {name: size_of(texts) for name, texts in samples.items()}
        figures, pieces = [], []
        for stage in self.tokenizers:
            measured = measure(load_tokenizer(work.input(stage)), samples)
            figures.append({"kind": stage.label, **measured.figures})
            pieces.append(measured.pieces(self.listed_pieces))
            work.log(f"{stage.label}, {measured.summary()}")
            for name in samples:
                if stage.has_subwords and (line := unknown_warning(name, measured, sizes[name]["words"])):
                    work.warn(f"{stage.label} {measured.figures['size']:,}, {line}")
        write_json(work.folder / CARD, {"texts": sizes, "tokenizers": figures})
        write_json(work.folder / PIECES, pieces)
