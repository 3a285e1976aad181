"""Minimal pairs of sentences, and the stage that shows them to language models. Light."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ulmfit.corpus.stages import CorpusStage
from ulmfit.language_model.bundled import BundledModel
from ulmfit.language_model.stages import ImportedModel, Pretrain
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.stage import Stage, Work
from ulmfit.tokens.stages import TokenizerStage

PairForm = Literal["table", "clams", "multiblimp", "turblimp"]


class PairsStage(Stage):
    """Base of stages whose folder holds `pairs.parquet`: strings construction, right and wrong."""

    @property
    def source(self) -> str:
        """Where the pairs come from, for records."""
        return self.stage_name


class PairFile(PairsStage):
    """Minimal pairs of a file: two sentences that differ in one thing, which makes one of them wrong."""

    stage_name: ClassVar[str] = "minimal-pairs"

    file: File = Field(description="a table, CSV or tab-separated; for clams a folder, or a tar archive")
    form: PairForm = Field(
        "table",
        description="table: columns right, wrong and, optionally, construction; clams: a text file per "
        "construction, whose lines are True or False, a tab and a sentence (Mueller et al. 2020); "
        "multiblimp: columns sen, wrong_sen and phenomenon (Jumelet et al. 2025); turblimp: columns "
        "good_sentence, bad_sentence and phenomenon (Basar et al. 2025)",
    )

    @property
    def source(self) -> str:
        """Where the pairs come from, for records."""
        return self.file.label

    def build(self, work: Work) -> None:
        """Write the pairs; InputError where the file has another form."""
        from ulmfit.evaluation.pair_files import read_pairs, write_pairs

        pairs = read_pairs(work.file(self.file), self.form)
        write_pairs(work.folder, pairs)
        work.log(f"{len(pairs):,} pairs of {len({pair.construction for pair in pairs})} constructions")


class GrammarCard(Stage):
    """The share of minimal pairs whose right sentence a language model finds more probable: `grammar.json`.

    Sentences are scored as documents are, from the mark of their beginning on; the log-probabilities of both
    directions are added where there are two. Beside them stand two floors, made from the training documents
    of the corpus: a unigram model of the pieces, and a character 5-gram model.
    """

    stage_name: ClassVar[str] = "grammar-card"

    pairs: PairsStage = Field(description="the minimal pairs")
    language_models: tuple[Pretrain | ImportedModel | BundledModel, ...] = Field(
        min_length=1, description="one per direction"
    )
    tokenizer: TokenizerStage = Field(description="cuts the sentences")
    corpus: CorpusStage = Field(description="what the floors are made from")
    characters: int = Field(
        2_000_000, ge=1, description="of the corpus' first training documents, which the floors read"
    )

    def build(self, work: Work) -> None:
        """Score the pairs."""
        from ulmfit.evaluation.grammar import build

        build(self, work)
