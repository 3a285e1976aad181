"""One row of the results table: its runs scored, resampled, calibrated, and compared with another row.

Which rows a table has is decided in `experiments/systems.py`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from ulmfit.evaluation.bootstrap import RESAMPLES, intervals, percentile_interval, resampled_means
from ulmfit.evaluation.calibration import Calibration, calibrate
from ulmfit.evaluation.significance import Comparison, holm, paired_bootstrap_p, permutation_p, seed_margin
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.record_part import Figure, RecordPart

if TYPE_CHECKING:
    import numpy as np

    from ulmfit.classifier.outcomes import Outcomes, Scores
    from ulmfit.classifier.predictions import Predictions, SingleLabelPredictions

    Runs = Sequence[tuple[int, Predictions]]
    """A row's seeds, each with the predictions of its run."""

Matrix = tuple[tuple[int, ...], ...]
Kind = Literal["model", "ensemble", "baseline", "mixture", "comparison"]


class MetricValues(RecordPart):
    """One metric of one row of the table."""

    values: tuple[Figure, ...] = Field(
        description="one value per seed, in the order of the row's seeds; 0 to 1, correlations -1 to 1"
    )
    mean: Figure = Field(description="arithmetic mean of the values")
    sd: Figure | None = Field(description="sample standard deviation (n - 1); None for a single seed")
    interval: tuple[Figure, Figure] | None = Field(
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
        description="model: one classifier; ensemble: averaged ones; baseline: a linear "
        "model; mixture: averaged with a baseline; comparison: another library's model"
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
        description="one matrix per run on the test split; rows are gold, columns predicted labels; "
        "empty where texts have no single label",
    )
    calibration: tuple[Calibration, ...] = Field((), description="one per run; empty if unknown")
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
        """The number of values of each metric: one per seed, or one for an average over the seeds."""
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


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """A row with what its comparison with others needs."""

    result: RowResult
    ids: list[str]
    outcomes: list[Outcomes]
    """One per run."""
    samples: Scores
    """Means over the runs, of every metric and bootstrap resample."""


def row_result(name: str, runs: Runs, **options: Any) -> RowResult:
    """Return the row of `scored_row`; `options` are described there."""
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
    resamples: int = RESAMPLES,
) -> ScoredRow:
    """Score one row of the table: `runs` are (seed, test predictions), `valid_runs` the same on validation.

    The predictions are of any task; only rows of single labels have confusion matrices, figures of labels
    and calibration. With `average_seeds` the seeds' predictions are averaged into one run: an ensemble, with
    one value. `resamples` is the number for the bootstrap intervals. Raises InputError without runs, for a
    seed that occurs twice, for runs on different rows, and when the seeds of `valid_runs` are others.
    """
    from ulmfit.classifier.metrics import confusion_matrix

    seeds = _checked_seeds(name, runs)
    if valid_runs and _checked_seeds(name, valid_runs) != seeds:
        raise InputError(f"row {name!r}: validation and test were predicted by different seeds")
    test, valid = [run for _, run in runs], [run for _, run in valid_runs]
    if average_seeds:
        valid, test = _averaged(name, valid, test)
    outcomes = [run.outcomes(positive_label) for run in test]
    samples = resampled_means(outcomes, resamples)
    bounds = intervals(samples)
    labelled, labelled_valid = _of_one_label(test), _of_one_label(valid)
    result = RowResult(
        name=name,
        kind=kind,
        seeds=seeds,
        averages_seeds=average_seeds,
        metrics=_values([run.scores() for run in outcomes], bounds),
        valid_metrics=_values([run.outcomes(positive_label).scores() for run in valid]),
        label_metrics=_label_values(labelled, bounds) if labelled else {},
        confusion=tuple(confusion_matrix(run.gold, run.predicted, run.labels) for run in labelled),
        calibration=tuple(calibrate(one, run) for one, run in zip(labelled_valid, labelled, strict=False)),
        notes=tuple(notes),
    )
    return ScoredRow(result, test[0].ids, outcomes, samples)


def _of_one_label(runs: Sequence[Predictions]) -> list[SingleLabelPredictions]:
    """Return the runs, and none if their texts do not have exactly one label each."""
    from ulmfit.classifier.predictions import SingleLabelPredictions

    return [run for run in runs if isinstance(run, SingleLabelPredictions)]


def _averaged(
    name: str, valid: Sequence[Predictions], test: Sequence[Predictions]
) -> tuple[list[Predictions], list[Predictions]]:
    """Average the runs into one on each split; thresholds of several labels come from validation."""
    from ulmfit.classifier.predictions import average, average_splits

    if valid:
        on_valid, on_test = average_splits(valid, test, f"row {name!r}")
        return [on_valid], [on_test]
    return [], [average(test, where=f"row {name!r}")]


def _label_values(
    runs: Sequence[SingleLabelPredictions], bounds: dict[str, np.ndarray]
) -> dict[str, dict[str, MetricValues]]:
    from ulmfit.classifier.metrics import label_scores

    figures = [label_scores(run.gold, run.predicted, run.labels) for run in runs]
    return {
        label: {
            name: MetricValues.of([one[label][name] for one in figures], bounds[f"label_{name}"][:, index])
            for name in figures[0][label]
        }
        for index, label in enumerate(runs[0].labels)
    }


def _values(
    runs: Sequence[dict[str, float]], bounds: dict[str, np.ndarray] | None = None
) -> dict[str, MetricValues]:
    names = runs[0] if runs else {}
    return {
        name: MetricValues.of([one[name] for one in runs], bounds[name] if bounds else None) for name in names
    }


def _checked_seeds(name: str, runs: Runs) -> tuple[int, ...]:
    from ulmfit.classifier.predictions import check_same_rows

    if not runs:
        raise InputError(f"row {name!r}: there are no runs; expected the predictions of at least one seed")
    seeds = tuple(seed for seed, _ in runs)
    if len(set(seeds)) != len(seeds):
        raise InputError(f"row {name!r}: a seed occurs twice in {seeds}; expected distinct seeds")
    check_same_rows([run for _, run in runs], f"row {name!r}")
    return seeds


def reference_row(rows: Sequence[RowResult]) -> RowResult | None:
    """Return the row that the others are compared with; None without rows.

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
    """Compare every row with the reference row (its name; None: that of `reference_row`) in one metric.

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
        differences = differences[differences == differences]  # not NaN: both rows lack a label in those
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
                seed_margin=seed_margin_of(row.result, base.result, metric),
            )
        )
    return tuple(comparisons)


def seed_margin_of(row: RowResult, base: RowResult, metric: str) -> float | None:
    """Return the margin of two rows' difference over other seeds; None if a trained row has a single run.

    Baselines are deterministic: they add nothing to it.
    """
    if any(part.runs == 1 and part.kind != "baseline" for part in (row, base)):
        return None
    return seed_margin(row.metrics[metric].values, base.metrics[metric].values)
