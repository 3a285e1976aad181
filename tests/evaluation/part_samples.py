"""Made-up statistics, calibrations and errors, for the page of the made-up record."""

from __future__ import annotations

import random

from evaluation.samples import made_up_predictions
from ulmfit.classifier.occlusion import Explanation, Piece, Word
from ulmfit.evaluation.calibration import BINS, Calibration, CalibrationFigures, ReliabilityBin
from ulmfit.evaluation.error_analysis import ErrorAnalysis, analyse_errors
from ulmfit.evaluation.learning_curve import LearningCurve, learning_curve
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.record import Record
from ulmfit.evaluation.significance import Comparison

ROOTS = ("kalomi", "dusapo", "verine", "tukalo", "salori", "minedu", "pove", "ka")


def made_up_figures(seed: int, gap: float) -> CalibrationFigures:
    """Return figures of a classifier whose accuracy lies `gap` below its confidence."""
    source = random.Random(seed)
    bins = []
    for number in range(BINS):
        count = 0 if number < 5 else (number - 4) ** 2 + source.randrange(3)
        confidence = (number + 0.5) / BINS
        accuracy = min(max(confidence - gap + source.uniform(-0.05, 0.05), 0), 1)
        filled = {"confidence": confidence, "accuracy": accuracy} if count else {}
        bins.append(ReliabilityBin(count=count, **filled))
    return CalibrationFigures(nll=0.5 + gap, brier=0.3 + gap / 2, ece=gap, bins=tuple(bins))


def made_up_calibration(seed: int) -> Calibration:
    """Return a calibration of a classifier that is too sure of itself."""
    return Calibration(
        temperature=1.6 + seed / 10,
        validation_texts=200,
        before=made_up_figures(seed, 0.12),
        after=made_up_figures(seed, 0.02),
    )


def with_statistics(record: Record) -> Record:
    """Return the record with intervals, comparisons, calibrations, published results and learning curves."""
    metric = record.dataset.metric if record.dataset else ""
    rows = []
    for row in record.rows:
        mean = row.metrics[metric].mean
        main = row.metrics[metric].changed(interval=(mean - 0.04, min(mean + 0.035, 1.0)))
        calibration = tuple(map(made_up_calibration, row.seeds)) if row.kind == "model" else ()
        rows.append(row.changed(metrics={**row.metrics, metric: main}, calibration=calibration))
    reference = rows[-1]
    comparisons = [
        Comparison(
            row=row.name,
            reference=reference.name,
            metric=metric,
            difference=row.metrics[metric].mean - reference.metrics[metric].mean,
            interval=(
                row.metrics[metric].mean - reference.metrics[metric].mean - 0.05,
                row.metrics[metric].mean - reference.metrics[metric].mean + 0.04,
            ),
            p_bootstrap=0.0002 if row.kind == "baseline" else 0.21,
            p_permutation=0.004 if row.kind == "baseline" else 0.2,
            p_adjusted=0.016 if row.kind == "baseline" else 0.4,
            seed_margin=None if len(row.seeds) == 1 else 0.08,
        )
        for row in rows[:-1]
    ]
    published = (
        PublishedResult(name="best of a shared task", metric=metric, value=0.768, source="Table 3 there"),
        PublishedResult(
            name="fastText",
            metric="accuracy",
            value=0.7125,
            source="its paper",
            verified=True,
            note="frozen vectors",
        ),
    )
    return record.changed(
        rows=tuple(rows), comparisons=tuple(comparisons), published=published, curves=made_up_curves()
    )


def made_up_curves() -> tuple[LearningCurve, ...]:
    """Return curves over train sizes and over noise."""

    def line(start: float, step: float, runs: int, places: int) -> list[list[float]]:
        return [[start + step * place + 0.01 * run for run in range(runs)] for place in range(places)]

    return (
        learning_curve(
            "train size",
            "macro_f1",
            [50, 200, 500, 1000, None],
            [("ULMFiT, forward", line(0.6, 0.05, 3, 5)), ("TF-IDF, characters", line(0.4, 0.09, 1, 5))],
            train_texts=1600,
            seeds=[0, 1, 2],
            notes=["each seed has its own subset"],
        ),
        learning_curve(
            "label noise",
            "macro_f1",
            [0.0, 0.1, 0.25, 0.5],
            [("ULMFiT, forward", line(0.8, -0.1, 3, 4)), ("TF-IDF, characters", line(0.75, -0.06, 1, 4))],
            train_texts=1600,
            seeds=[0, 1, 2],
        ),
    )


def made_up_text(seed: int) -> str:
    """Return words and punctuation."""
    source = random.Random(seed)
    return " ".join(source.choices(ROOTS, k=source.randrange(4, 30))).capitalize() + "."


def made_up_explanation(text: str, label: str, probability: float) -> Explanation:
    """Return weights that fall and change their sign from word to word."""
    words = []
    for number, word in enumerate(text.split()):
        weight = 0.4 * (-1) ** number / (number + 1) ** 2
        pieces = (Piece(word[:2], weight / 2), Piece(word[2:], weight / 3)) if len(word) > 3 else ()
        words.append(Word(word, weight, pieces))
    return Explanation(label, probability, tuple(words), cut=len(words) > 20)


def made_up_errors() -> ErrorAnalysis:
    """Return the errors of made-up predictions, the first three explained."""
    predictions = made_up_predictions(0.85, 1)
    texts = [made_up_text(number) for number in range(len(predictions.ids))]
    tokens = [2 * len(text.split()) + number % 3 for number, text in enumerate(texts)]
    training = [text.replace("pove", "").replace("ka ", "") for text in texts[:60]]
    analysis = analyse_errors("ULMFiT, forward", 3, predictions, texts, tokens, training, most=8)
    return analysis.explained(
        {
            one.id: made_up_explanation(one.text, one.predicted, one.probability)
            for one in analysis.mistakes[:3]
        }
    )
