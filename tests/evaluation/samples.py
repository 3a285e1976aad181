"""Made-up predictions, trainings and records for the tests of tables and pages."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

from ulmfit.classifier.predictions import SingleLabelPredictions
from ulmfit.corpus.card import CorpusAccount, SampleDocument
from ulmfit.corpus.filters import LeakSummary
from ulmfit.evaluation.record import DatasetSummary, Record, StageTime, row_result
from ulmfit.language_model.evaluate import perplexities
from ulmfit.language_model.figures import LanguageModelResult, PolEvalResult, TrainedModel
from ulmfit.language_model.poleval import poleval_figures
from ulmfit.report.section import History
from ulmfit.tokens.card import PieceLists, TokenizerComparison

LABELS = ["negative", "neutral", "positive"]
ROWS = 200


def made_up_predictions(
    accuracy: float, seed: int, labels: list[str] | None = None, rows: int = ROWS
) -> SingleLabelPredictions:
    """Predictions that are right with the given probability."""
    labels = labels or LABELS
    source = random.Random(f"{accuracy} {seed}")
    gold = [labels[int(index % 10 > 5) + int(index % 10 > 8)] for index in range(rows)]
    predicted = [label if source.random() < accuracy else source.choice(labels) for label in gold]
    probabilities = np.full((rows, len(labels)), 0.3 / (len(labels) - 1), dtype=np.float32)
    probabilities[np.arange(rows), [labels.index(label) for label in predicted]] = 0.7
    return SingleLabelPredictions(
        [f"id{index}" for index in range(rows)], gold, predicted, probabilities, labels
    )


def made_up_history(name: str, phases: int = 1, epochs: int = 4, groups: int = 1) -> History:
    """A training with one cycle a phase, later phases training more groups."""
    source = random.Random(name)
    steps, rows = [], []
    per_phase = 240 // phases
    for phase in range(phases):
        for index in range(per_phase):
            step = phase * per_phase + index + 1
            part = index / per_phase
            shape = (1 - math.cos(math.pi * min(part / 0.3, 1))) / 2
            shape *= (1 + math.cos(math.pi * max(part - 0.3, 0) / 0.7)) / 2 + 1e-5
            peak = 0.02 / (phase + 1)
            rates = [(peak * (0.04 + 0.96 * shape)) / 2.6 ** (groups - 1 - group) for group in range(groups)]
            loss = 3.2 + 4 * math.exp(-step / 60) + source.gauss(0, 0.18)
            steps.append(
                {
                    "step": step * 10,
                    "phase": phase,
                    "epoch": part * epochs,
                    "loss": loss,
                    "learning_rates": rates,
                    "momentum": 0.8 - 0.1 * shape,
                }
            )
        for epoch in range(epochs):
            at = (phase + (epoch + 1) / epochs) * per_phase
            valid = 3.35 + 3.7 * math.exp(-at / 60)
            rows.append(
                {"phase": phase, "epoch": epoch, "train_loss": valid, "valid_loss": valid, "metrics": {}}
            )
    return History(name, {"steps": steps, "epochs": rows})


def made_up_histories() -> list[History]:
    """A language model's and a classifier's training."""
    return [
        made_up_history("language model, forward"),
        made_up_history("classifier, forward, seed 0", phases=3, epochs=2, groups=5),
    ]


def made_up_language_model(
    name: str, loss: float, *, split: Any, unknown: int = 0, **more: Any
) -> LanguageModelResult:
    """The figures of a language model whose mean loss is given, in nats per token."""
    figures = perplexities(
        loss_sum=loss * 41_230,
        documents=90,
        tokens=41_230,
        words=25_770,
        characters=181_020,
        unknown_tokens=unknown,
    )
    fields = {"name": name, "direction": "forward", "split": split, **figures.model_dump(), **more}
    return LanguageModelResult.model_validate(fields)


def made_up_training(**changes: Any) -> TrainedModel:
    """How a language model was trained."""
    return TrainedModel(
        kind="lstm",
        layers=3,
        hidden_size=1152,
        embedding_size=400,
        vocabulary_size=15_000,
        precision="bf16",
        engine="fast",
    ).changed(**changes)


def made_up_poleval() -> PolEvalResult:
    """What PolEval 2018 would have counted."""
    return PolEvalResult(
        name="pretrained",
        direction="forward",
        **poleval_figures(
            loss_sum=123_456.0,
            sentences=90,
            words=25_770,
            replaced_words=403,
            min_count=3,
            scoring_precision="fp32",
        ).model_dump(),
    )


def made_up_account() -> dict:
    """The content of an account.json."""
    return {
        "source": "xxwiki-20240101-pages-articles.xml.bz2",
        "pages_read": 2004,
        "documents_written": 1730,
        "left_out": {
            "redirect": {"count": 214, "pages": ["12", "13"]},
            "too short": {"count": 48, "pages": ["99"]},
            "other namespace": {"count": 12, "pages": []},
        },
    }


def changed(content: Any, *path_and_value: Any) -> Any:
    """Return `content` with another value at a path (names and numbers), which ends in that value."""
    *path, last, value = path_and_value
    place = content
    for name in path:
        place = place[name]
    place[last] = value
    return content


def made_up_corpus_card() -> dict[str, Any]:
    """The content of the card.json of a corpus."""
    account = made_up_account()
    account["left_out"] = {reason: entry["count"] for reason, entry in account["left_out"].items()}
    return {
        "account": account,
        "splits": {
            "train": {"documents": 1700, "words": 510_000, "characters": 3_400_000},
            "valid": {"documents": 14, "words": 3_000, "characters": 21_000},
            "test": {"documents": 16, "words": 4_000, "characters": 30_000},
        },
        "lengths": {
            "quantiles": {"0": 3, "0.05": 12, "0.25": 80, "0.5": 210, "0.75": 460, "0.95": 900, "1": 4100},
            "histogram": [
                {"fewest": 1 << power, "most": (2 << power) - 1, "documents": documents}
                for power, documents in enumerate((0, 6, 31, 80, 170, 210, 330, 455, 300, 120, 22, 5, 1))
            ],
        },
        "scripts": {"Latin": 2_800_000, "Cyrillic": 900, "Greek": 41},
        "languages": {"documents": 1000, "known": 140, "found": {"xx": 985, "und": 12, "yy": 3}},
        "leftovers": {"[[": 3, "{{": 0, "||": 1, "<ref": 0, "&amp;": 0},
    }


def made_up_corpus() -> CorpusAccount:
    """What a record says of that corpus."""
    card = made_up_corpus_card()
    return CorpusAccount.model_validate({**card.pop("account"), "figures": card})


def made_up_samples() -> list[SampleDocument]:
    """Beginnings of two documents."""
    return [
        SampleDocument(id="12", title="Kalomi", split="train", words=310, text="Kalomi tu.\nPove duri. …"),
        SampleDocument(id="77", title="שלום", split="valid", words=4, text="שלום לכולם"),
    ]


def made_up_tokenizer_card() -> dict[str, Any]:
    """The content of the card.json of two tokenizers."""
    lengths = {"0.05": 8, "0.25": 30, "0.5": 50, "0.75": 66, "0.95": 109, "0.99": 180, "1": 306}

    def counts(tokens: int, whole: int) -> dict[str, Any]:
        words = {"words": 10_000, "words_with_unknown": 40, "bare_words": 9_000, "whole_words": whole}
        return {"tokens": tokens, "unknown_tokens": 50, "byte_tokens": 0, **words, "lengths": lengths}

    size = {"texts": 90, "words": 10_000, "characters": 62_000, "bytes": 64_000}
    return {
        "texts": {"corpus": size, "target": size},
        "tokenizers": [
            {
                "kind": kind,
                "size": size_of_vocabulary,
                "learned": size_of_vocabulary - 6,
                "unused": 100,
                "texts": {"corpus": counts(tokens, 6_000), "target": counts(tokens + 2_000, 4_500)},
            }
            for kind, size_of_vocabulary, tokens in (("unigram", 8_000, 15_990), ("bpe", 25_000, 13_500))
        ],
    }


def made_up_pieces() -> list[PieceLists]:
    """Pieces of two tokenizers."""
    content = {"longest": [{"piece": "▁kalominetu", "uses": 3}], "rarest": [{"piece": "שלו", "uses": 0}]}
    return [PieceLists.model_validate(content)] * 2


def made_up_leaks() -> LeakSummary:
    """What a record says of a leak check."""
    return LeakSummary(
        ngram_words=8,
        min_share=0.5,
        min_words=5,
        checked=180,
        too_short=20,
        below_min_share=1,
        leaked=("test-3", "test-41"),
        documents=3,
        removed=3,
    )


def made_up_record() -> Record:
    """A record with every part filled."""

    def runs(accuracy: float, seeds: int) -> list[tuple[int, SingleLabelPredictions]]:
        return [(seed, made_up_predictions(accuracy, seed)) for seed in range(seeds)]

    return Record(
        recipe="xx/reviews",
        title="Reviews in a made-up language",
        language="xx",
        preset="multifit",
        labels=("transductive", "small", "invented language"),
        dataset=DatasetSummary(
            name="reviews",
            source="written by a grammar",
            licence="CC0-1.0",
            rows={"train": 1600, "valid": 200, "test": ROWS},
            labels=tuple(LABELS),
            metric="macro_f1",
        ),
        rows=(
            row_result("TF-IDF, words", runs(0.7, 1), kind="baseline"),
            row_result("TF-IDF, characters", runs(0.8, 1), kind="baseline"),
            row_result("from scratch", runs(0.5, 3), notes=["no pretraining"]),
            row_result("ULMFiT, forward", runs(0.86, 3), valid_runs=runs(0.9, 3)),
            row_result("ULMFiT, forward + backward", runs(0.9, 3), kind="ensemble"),
        ),
        language_models=(
            *(
                made_up_language_model(
                    "pretrained",
                    loss,
                    split=split,
                    parameters=24_200_000,
                    training_tokens=98_000_000,
                    seconds=30_120.0,
                    tokens_per_second=3254.0,
                    scoring_precision="bf16",
                    trained=made_up_training(),
                )
                for split, loss in (("valid", 3.145), ("test", 3.161))
            ),
            *(
                made_up_language_model(
                    f"fine-tuned, seed {seed}",
                    2.9 + 0.01 * seed,
                    split="valid",
                    unknown=700,
                    seconds=310.0 + seed,
                    tokens_per_second=3100.0,
                    trained=made_up_training(skipped_steps=seed, matched_vocabulary=0.874),
                )
                for seed in range(3)
            ),
        ),
        poleval=(made_up_poleval(),),
        seeds=(0, 1, 2),
        stages=(
            StageTime(name="extract", key="0" * 16, seconds=18.2),
            StageTime(name="pretrain", key="1" * 16, seconds=30_120.0, tokens_per_second=3254.0),
            StageTime(name="classifier", key="2" * 16, seconds=1210.4),
        ),
        corpora=(made_up_corpus(),),
        leaks=made_up_leaks(),
        tokenizers=TokenizerComparison.model_validate(made_up_tokenizer_card()),
        inputs={"xxwiki.xml.bz2": "ab" * 32, "train.csv": "cd" * 32},
        configuration={"pretrain": {"epochs": 10, "learning_rate": 0.005}, "seeds": [0, 1, 2]},
        commit="0123456789abcdef0123456789abcdef01234567",
        versions={"python": "3.12.1", "torch": "2.13.0"},
        hardware={"device": "cpu", "cores": 2, "memory_gib": 15.5, "gpu": None},
    )
