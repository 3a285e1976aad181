"""The tokenizer card: what one chooses a vocabulary by, for one tokenizer or several side by side."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.stage import Stage, Work
from ulmfit.tokens.stages import TokenizerStage

CARD, PIECES = "card.json", "pieces.json"


class TokenizerCard(Stage):
    """Measures tokenizers on the same texts: `card.json` has numbers alone, `pieces.json` pieces.

    Measured are validation documents of a corpus, which no tokenizer is trained on, and train and valid texts
    of a data set. Neither its test texts nor any labels are read.
    """

    stage_name: ClassVar[str] = "tokenizer-card"
    stage_version: ClassVar[int] = 2

    tokenizers: tuple[TokenizerStage, ...] = Field(min_length=1, description="one column each, in this order")
    documents: CorpusStage = Field(description="corpus whose validation split is encoded")
    target: DatasetStage | None = Field(
        None, description="data set whose train and valid texts are encoded; None: none"
    )
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
        from ulmfit.files import write_json
        from ulmfit.tokens.statistics import measure, sample_of_dataset, sample_of_documents, size_of
        from ulmfit.tokens.tokenizer import load_tokenizer

        samples = {"corpus": sample_of_documents(work.input(self.documents), self.sample_bytes)}
        if self.target is not None:
            samples["target"] = sample_of_dataset(work.input(self.target), self.sample_bytes)
        figures, pieces = [], []
        for stage in self.tokenizers:
            measured = measure(load_tokenizer(work.input(stage)), samples)
            figures.append({"kind": stage.label, **measured.figures})
            pieces.append(measured.pieces(self.listed_pieces))
            work.log(f"{stage.label}, {measured.summary()}")
        sizes = {name: size_of(texts) for name, texts in samples.items()}
        write_json(work.folder / CARD, {"texts": sizes, "tokenizers": figures})
        write_json(work.folder / PIECES, pieces)
