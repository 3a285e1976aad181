"""One row of the results table: its runs scored, resampled, calibrated, and held against another row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ulmfit.classifier.predictions import Predictions, average, check_same_rows
from ulmfit.errors import InputError
from ulmfit.evaluation.bootstrap import intervals, percentile_interval, resampled_means
from ulmfit.evaluation.calibration import Calibration, calibrate
from ulmfit.evaluation.metrics import confusion_matrix, label_scores, score
from ulmfit.evaluation.outcomes import ArrayOutcomes, LabelOutcomes, Outcomes, ScoreArrays, Scores
from ulmfit.evaluation.record_part import RecordPart
from ulmfit.evaluation.significance import Comparison, holm, paired_bootstrap_p, permutation_p, seed_margin

Matrix = tuple[tuple[int, ...], ...]
Kind = Literal["model", "ensemble", "baseline", "comparison"]
Runs = Sequence[tuple[int, Predictions]]
"""A row's seeds, each with the predictions of its run."""


class MetricValues(RecordPart):
    """One metric of one row of the table."""

    values: tuple[float, ...] = Field(
        description="one value a seed, in the order of the row's seeds; 0 to 1, correlations -1 to 1"
    )
    mean: float = Field(description="arithmetic mean of the values")
    sd: float | None = Field(description="sample standard deviation (n - 1); None for a single seed")
    interval: tuple[float, float] | None = Field(
        None,
        description="95 % percentile bootstrap interval of the mean over seeds, documents resampled and "
        "seeds held fixed; None: not computed",
    )

    @classmethod
    def of(cls, values: Sequence[float], interval: Sequence[float] | np.ndarray | None = None) -> Self:
        """Compute mean and standard deviation of at least one value."""
        sd = statistics.stdev(values) if len(values) > 1 else None
        bounds = None if interval is None else (float(interval[0]), float(interval[1]))
        return cls(values=tuple(values), mean=statistics.fmean(values), sd=sd, interval=bounds)

    @model_validator(mode="after")
    def _agrees_with_values(self) -> Self:
        if not self.values:
            raise ValueError("a metric needs at least one value")
        if not math.isclose(self.mean, statistics.fmean(self.values), abs_tol=1e-9):
            raise ValueError("mean does not agree with values")
        sd = statistics.stdev(self.values) if len(self.values) > 1 else None
        if (sd is None) != (self.sd is None) or not math.isclose(sd or 0, self.sd or 0, abs_tol=1e-9):
            raise ValueError("sd does not agree with values")
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("interval: low is above high")
        return self


class RowResult(RecordPart):
    """One row of the results table: a model (or a baseline) over its seeds, on the test split."""

    name: str = Field(description="what the reader sees, such as 'ULMFiT, forward'")
    kind: Kind = Field(
        description="model: one classifier; ensemble: averaged ones; baseline: no pretraining; "
        "comparison: another library's model"
    )
    seeds: tuple[int, ...] = Field(description="seed of each run")
    averages_seeds: bool = Field(
        False, description="whether the seeds' probabilities were averaged into one run, of one value"
    )
    metrics: dict[str, MetricValues] = Field(description="metric name -> its values on the test split")
    valid_metrics: dict[str, MetricValues] = Field({}, description="the same on validation; empty if unknown")
    label_metrics: dict[str, dict[str, MetricValues]] = Field(
        {}, description="label -> precision, recall and f1 on the test split; empty if unknown"
    )
    confusion: tuple[Matrix, ...] = Field(
        (),
        description="one matrix a run on the test split; rows are gold, columns predicted labels; "
        "empty where texts have no single label",
    )
    calibration: tuple[Calibration, ...] = Field((), description="one a run; empty if unknown")
    notes: tuple[str, ...] = Field((), description="remarks shown below the table")

    @model_validator(mode="after")
    def _one_value_a_run(self) -> Self:
        labels = {
            f"{metric} of {of}": it for of, some in self.label_metrics.items() for metric, it in some.items()
        }
        for name, metric in [*self.metrics.items(), *self.valid_metrics.items(), *labels.items()]:
            if len(metric.values) != self.runs:
                raise ValueError(f"{name} has {len(metric.values)} values for {self._runs_in_words}")
        for name, parts in (("confusion matrices", self.confusion), ("calibrations", self.calibration)):
            if parts and len(parts) != self.runs:
                raise ValueError(f"{len(parts)} {name} for {self._runs_in_words}")
        return self

    @property
    def runs(self) -> int:
        """The number of values of each metric: one a seed, or one for an average over the seeds."""
        return 1 if self.averages_seeds else len(self.seeds)

    @property
    def _runs_in_words(self) -> str:
        return "one average over the seeds" if self.averages_seeds else f"{len(self.seeds)} seeds"

    @property
    def total_confusion(self) -> Matrix:
        """The confusion matrix summed over the seeds."""
        return tuple(
            tuple(sum(cells) for cells in zip(*rows, strict=True))
            for rows in zip(*self.confusion, strict=True)
        )


@dataclass(frozen=True)
class ArrayScoring:
    """How to score what is no single label: several labels a text, or numbers.

    `arrays` returns gold values and outputs of a run's predictions, one entry a document; `score` scores such
    arrays, also of drawn documents.
    """

    arrays: Callable[[Any], tuple[np.ndarray, np.ndarray]]
    score: ScoreArrays


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """A row with what its comparison with others needs."""

    result: RowResult
    ids: list[str]
    outcomes: list[Outcomes]
    """One a run."""
    samples: Scores
    """Means over the runs, of every metric and bootstrap resample."""


def row_result(name: str, runs: Runs, **options: Any) -> RowResult:
    """Return the row of `scored_row`, which says what `options` there are."""
    return scored_row(name, runs, **options).result


def scored_row(
    name: str,
    runs: Runs,
    *,
    kind: Kind = "model",
    positive_label: str | None = None,
    valid_runs: Runs = (),
    notes: Sequence[str] = (),
    average_seeds: bool = False,
    scoring: ArrayScoring | None = None,
    resamples: int | None = None,
) -> ScoredRow:
    """Score one row of the table: `runs` are (seed, test predictions), `valid_runs` the same on validation.

    With `average_seeds` the seeds' probabilities are averaged into one run: an ensemble, with one value.
    `scoring` is for predictions that are no single labels; such a row has no confusion matrices, no figures
    of labels and no calibration. `resamples` is the number for the bootstrap intervals, None: its default.
    Raises InputError without runs, for a seed that occurs twice, for runs on different rows, and when the
    seeds of `valid_runs` are others.
    """
    seeds = _checked_seeds(name, runs)
    if valid_runs and _checked_seeds(name, valid_runs) != seeds:
        raise InputError(f"row {name!r}: validation and test were predicted by different seeds")
    test, valid = [run for _, run in runs], [run for _, run in valid_runs]
    if average_seeds:
        test, valid = [average(test)], [average(valid)] if valid else []
    common: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "seeds": seeds,
        "averages_seeds": average_seeds,
        "notes": tuple(notes),
    }
    if scoring is None:
        return _scored_labels(common, test, valid, positive_label, resamples)
    return _scored_arrays(common, test, valid, scoring, resamples)


def _scored_labels(
    common: dict[str, Any],
    test: Sequence[Predictions],
    valid: Sequence[Predictions],
    positive_label: str | None,
    resamples: int | None,
) -> ScoredRow:
    def scores(runs: Sequence[Predictions]) -> list[dict[str, float]]:
        return [score(run.gold, run.predicted, run.labels, positive_label) for run in runs]

    outcomes: list[Outcomes] = [
        LabelOutcomes.of(run.gold, run.predicted, run.labels, positive_label) for run in test
    ]
    samples = resampled_means(outcomes, resamples)
    bounds = intervals(samples)
    by_label = [label_scores(run.gold, run.predicted, run.labels) for run in test]
    result = RowResult(
        **common,
        metrics=_values(scores(test), bounds),
        valid_metrics=_values(scores(valid)),
        label_metrics={
            label: {
                name: MetricValues.of(
                    [one[label][name] for one in by_label], bounds[f"label_{name}"][:, index]
                )
                for name in by_label[0][label]
            }
            for index, label in enumerate(test[0].labels)
        },
        confusion=tuple(confusion_matrix(run.gold, run.predicted, run.labels) for run in test),
        calibration=tuple(calibrate(*pair) for pair in zip(valid, test, strict=True)) if valid else (),
    )
    return ScoredRow(result, test[0].ids, outcomes, samples)


def _scored_arrays(
    common: dict[str, Any],
    test: Sequence[Any],
    valid: Sequence[Any],
    scoring: ArrayScoring,
    resamples: int | None,
) -> ScoredRow:
    def scores(runs: Sequence[Any]) -> list[dict[str, float]]:
        return [dict(scoring.score(*scoring.arrays(run))) for run in runs]

    outcomes: list[Outcomes] = [ArrayOutcomes(*scoring.arrays(run), scoring.score) for run in test]
    samples = resampled_means(outcomes, resamples)
    bounds = intervals(samples)
    result = RowResult(**common, metrics=_values(scores(test), bounds), valid_metrics=_values(scores(valid)))
    return ScoredRow(result, test[0].ids, outcomes, samples)


def _values(
    scores: Sequence[dict[str, float]], bounds: dict[str, np.ndarray] | None = None
) -> dict[str, MetricValues]:
    names = scores[0] if scores else {}
    return {
        name: MetricValues.of([one[name] for one in scores], bounds[name] if bounds else None)
        for name in names
    }


def _checked_seeds(name: str, runs: Runs) -> tuple[int, ...]:
    if not runs:
        raise InputError(f"row {name!r}: there are no runs; expected the predictions of at least one seed")
    seeds = tuple(seed for seed, _ in runs)
    if len(set(seeds)) != len(seeds):
        raise InputError(f"row {name!r}: a seed occurs twice in {seeds}; expected distinct seeds")
    check_same_rows([run for _, run in runs], f"row {name!r}")
    return seeds


def reference_row(rows: Sequence[RowResult]) -> RowResult | None:
    """Return the row that the others are held against; None without rows.

    It follows from kinds and seeds alone, never from results: the first ensemble with a run for each seed of
    the first model (both reading directions, no average over seeds), else the first model, else the first
    row.
    """
    models = [row for row in rows if row.kind == "model"]
    ensembles = [row for row in rows if row.kind == "ensemble" and not row.averages_seeds]
    if models:
        ensembles = [row for row in ensembles if row.seeds == models[0].seeds]
    return next(iter([*ensembles, *models, *rows]), None)


def compare_rows(
    rows: Sequence[ScoredRow],
    metric: str,
    *,
    reference: str | None = None,
    permutations: int | None = None,
) -> tuple[Comparison, ...]:
    """Hold every row against the reference row (its name; None: that of `reference_row`) in one metric.

    Raises InputError for two rows of one name, for rows on other documents, and when no row has the name.
    """
    names = [row.result.name for row in rows]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"comparison: two rows are called {twice!r}; expected distinct names")
    chosen = reference_row([row.result for row in rows])
    if chosen is None:
        return ()
    name = chosen.name if reference is None else reference
    if name not in names:
        raise InputError(f"comparison: no row is called {name!r}; expected one of {', '.join(names)}")
    base = rows[names.index(name)]
    others = [row for row in rows if row is not base]
    for row in others:
        if row.ids != base.ids:
            raise InputError(
                f"comparison: row {row.result.name!r} and row {name!r} were scored on different documents; "
                "expected the same test split"
            )
    p_values = [permutation_p(row.outcomes, base.outcomes, metric, permutations) for row in others]
    comparisons = []
    for row, p_value, adjusted in zip(others, p_values, holm(p_values), strict=True):
        differences = row.samples[metric] - base.samples[metric]
        low, high = percentile_interval(differences)
        comparisons.append(
            Comparison(
                row=row.result.name,
                reference=name,
                metric=metric,
                difference=row.result.metrics[metric].mean - base.result.metrics[metric].mean,
                interval=(float(low), float(high)),
                p_bootstrap=paired_bootstrap_p(differences),
                p_permutation=p_value,
                p_adjusted=adjusted,
                seed_margin=_seed_margin(row.result, base.result, metric),
            )
        )
    return tuple(comparisons)


def _seed_margin(row: RowResult, base: RowResult, metric: str) -> float | None:
    """Baselines are deterministic; a trained row of one run has a noise that nobody knows."""
    if any(part.runs == 1 and part.kind != "baseline" for part in (row, base)):
        return None
    return seed_margin(row.metrics[metric].values, base.metrics[metric].values)
