"""Word perplexity as PolEval 2018 (task 3, language models) counted it: a stage of its own, never mixed in.

The task: words seen fewer than three times in the training text are one unknown word, in training and in
testing, and every sentence ends with a word of its own. Perplexity is exp(nats / (words + sentences)): what
SRILM's `ngram -unk -ppl` gave the second team (50,218,535 words, 2,556,845 sentences, 146.7082), and what the
winners computed from subwords (Czapla, Howard & Kardas 2018, arXiv 1810.10222). It flatters: rare words,
the hardest ones, cost as little as a frequent word. A word is what stands between white space, as in the
task's files; `RareWordsReplaced` refuses texts without spaces.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.corpus.rare_words import MARK, RareWordsReplaced
from ulmfit.language_model.figures import PolEvalFigures
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.pipeline.stage import Stage, Work
from ulmfit.training.precision import Precision

POLEVAL = "poleval.json"


class PolEvalPerplexity(Stage):
    """PolEval-2018 word perplexity of a language model on the test split of its corpus, in `poleval.json`.

    Its corpus has to be a `RareWordsReplaced`. A sentence of the task is a document here: the task's own
    files have one per line.
    """

    stage_name: ClassVar[str] = "poleval-2018"

    language_model: Pretrain | FineTune = Field(description="model of texts whose rare words were replaced")

    @model_validator(mode="after")
    def _rare_words_were_replaced(self) -> Self:
        if not isinstance(self.language_model.tokens.documents, RareWordsReplaced):
            raise ValueError("PolEval-2018 perplexity needs a language model of a corpus RareWordsReplaced")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs."""
        return (self.language_model.direction,)

    def build(self, work: Work) -> None:
        """Score the test split, the end of every document included; InputError when it is empty."""
        from ulmfit.pipeline.files import write_json

        result = self._result(work)
        write_json(work.folder / POLEVAL, result.model_dump(mode="json"))
        perplexity = result.poleval_2018_word_perplexity
        shown = "beyond a float" if perplexity is None else f"{perplexity:.2f}"
        work.log(
            f"PolEval-2018 word perplexity {shown}, "
            f"{100 * result.replaced_words / result.words:.2f}% of the words replaced"
        )

    def _result(self, work: Work) -> PolEvalFigures:
        from ulmfit.language_model.compute import choose_compute
        from ulmfit.language_model.evaluate import document_losses, precision_of
        from ulmfit.language_model.folder import load_language_model
        from ulmfit.language_model.settings import Dropouts
        from ulmfit.pipeline.errors import InputError
        from ulmfit.tokens.arrays import TokenArray
        from ulmfit.training.distribution import choose_device

        stage, tokens = self.language_model, self.language_model.tokens
        corpus = tokens.documents
        assert isinstance(corpus, RareWordsReplaced)
        words, replaced = _words_and_marks(work.input(corpus))
        if not words:
            raise InputError("the test split of the corpus holds no words: raise its test_fraction")
        device = choose_device(stage.settings.device)
        model = load_language_model(work.input(stage), Dropouts()).to(device)
        model.set_compute(choose_compute("fp32", stage.settings.engine, device, work.log))
        array = TokenArray.open(work.input(tokens), "test")
        progress = work.progress(len(array.tokens), "tokens evaluated")
        losses = document_losses(
            model,
            array,
            stage.settings.evaluation_batch,
            backward=stage.direction == "backward",
            order=stage.backward_order,
            with_end=True,
            advance=progress.advance,
        )
        progress.close()
        return poleval_figures(
            loss_sum=float(losses.sum()),
            sentences=len(array),
            words=words,
            replaced_words=replaced,
            min_count=corpus.min_count,
            scoring_precision=precision_of(model),
        )


def poleval_figures(
    *,
    loss_sum: float,
    sentences: int,
    words: int,
    replaced_words: int,
    min_count: int,
    scoring_precision: Precision,
) -> PolEvalFigures:
    """Return the perplexity, exp(nats / (words + sentences)), and what it was counted from."""
    exponent = loss_sum / (words + sentences)
    return PolEvalFigures(
        poleval_2018_word_perplexity=math.exp(exponent) if exponent < 700 else None,
        nats=loss_sum,
        sentences=sentences,
        words=words,
        replaced_words=replaced_words,
        min_count=min_count,
        scoring_precision=scoring_precision,
    )


def _words_and_marks(folder: Path) -> tuple[int, int]:
    """Return the number of words in the test documents of a corpus, and how many of them are marks."""
    from ulmfit.corpus.stored import stored_documents

    words = marks = 0
    for document in stored_documents(folder):
        if document.split == "test":
            found = document.text.split()
            words += len(found)
            marks += found.count(MARK)
    return words, marks
