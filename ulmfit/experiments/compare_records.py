"""What differs between two records: settings, inputs, versions, hardware, and each row that both have.

Where the predictions of both runs are here, a difference is tested over the texts of the test split, paired;
else over the seeds alone. Which of the two was possible is always said, and what a single run cannot tell.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ulmfit.experiments.presets import Preset
from ulmfit.experiments.recipe_settings import RecipeSettings
from ulmfit.experiments.results import RECORD, is_recorded
from ulmfit.experiments.run_folder import is_run, recipe_of_run
from ulmfit.experiments.trial import is_trial
from ulmfit.experiments.verify import ABSENT, differences, of_its_time
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.runner import FinishedRunner

if TYPE_CHECKING:
    from ulmfit.evaluation.record import DatasetSummary, Record
    from ulmfit.evaluation.row import RowResult, ScoredRow

Basis = Literal["texts", "seeds", "none"]
NOT_COMPARED = frozenset({"load_average"})
"""What differs at every run."""
EMPTY: tuple[Any, ...] = (None, False, "", 0, [], {})


@dataclass(frozen=True)
class Difference:
    """One row, the second record minus the first."""

    row: str
    metric: str
    first: float
    second: float
    basis: Basis
    """What interval and p are about: the test texts, the trained models as they are; the seeds; nothing."""
    interval: tuple[float, float] | None = None
    """95 %, of the difference."""
    p: float | None = None
    """Two-sided, after Holm's correction for all rows that are compared in this way."""
    seeds: tuple[int, int] = (1, 1)
    """Runs of the first and of the second row."""
    seed_margin: float | None = None
    """Half of Welch's 95 % interval of the difference over seeds; None: a trained row has a single run."""

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


@dataclass(frozen=True)
class RecordComparison:
    """All that differs; values are (name, in the first record, in the second)."""

    settings: list[tuple[str, Any, Any]]
    inputs: list[tuple[str, Any, Any]]
    versions: list[tuple[str, Any, Any]]
    hardware: list[tuple[str, Any, Any]]
    rows: list[Difference]
    remarks: list[str]
    """Why something was not compared, or how."""


@dataclass(frozen=True)
class Side:
    """One of the two records, with its scored rows where its predictions are here."""

    record: Record
    rows: dict[str, ScoredRow]
    why_none: str = ""


def compare_records(first: Path, second: Path) -> RecordComparison:
    """Compare two records, or the records of two runs' folders; InputError where one cannot be read."""
    one, other = read_side(first), read_side(second)
    a, b = one.record, other.record
    versions = {"commit": a.commit, **a.versions}, {"commit": b.commit, **b.versions}
    rows, remarks = compared_rows(one, other)
    trials = [which for which, record in (("first", a), ("second", b)) if is_trial(record.configuration)]
    remarks += [f"the {which} is a trial: its figures are no results" for which in trials]
    return RecordComparison(
        settings=list(setting_differences(a, b)),
        inputs=[
            (name, _short(before), _short(now)) for name, before, now in value_differences(a.inputs, b.inputs)
        ],
        versions=list(value_differences(*versions)),
        hardware=list(value_differences(a.hardware, b.hardware)),
        rows=rows,
        remarks=remarks,
    )


def read_side(path: Path) -> Side:
    """Read a record, and score the predictions of its run where they are here."""
    from ulmfit.evaluation.record import read_record

    folder = path if path.is_dir() else path.parent
    record = read_record(folder / RECORD if path.is_dir() else path)
    if not (is_run(folder) and (path.is_dir() or path.name == RECORD)):
        return Side(record, {}, f"{path} is a record without its run's folder")
    from ulmfit.experiments.scoring import scored_rows

    try:
        recipe, runs = recipe_of_run(folder)
        runner, experiment = FinishedRunner(runs), recipe.stages()
        stages = runner.order(*experiment.all())
        if not all(map(runner.is_done, stages)):
            return Side(record, {}, f"stages of {folder} are not finished, or were removed")
        if not is_recorded(experiment.recipe, runner, stages, folder):
            return Side(record, {}, f"{folder}: the record was not made from the results that are here now")
        return Side(record, {row.result.name: row for row in scored_rows(experiment, runner)})
    except (InputError, StageFailed) as error:
        return Side(record, {}, str(error))


# --- Settings and other values ------------------------------------------------------------------------------


def setting_differences(first: Record, second: Record) -> Iterator[tuple[str, Any, Any]]:
    """Yield every setting that differs; not a field that came after one record and is empty in the other."""
    one, other = (
        {"preset": record.preset, "seeds": list(record.seeds), **_settings(record)}
        for record in (first, second)
    )
    for name, before, now in differences(one, other, other):
        if ABSENT in (before, now) and (before in EMPTY or now in EMPTY):
            continue
        yield name, before, now


def _settings(record: Record) -> dict[str, Any]:
    """Return the configuration, with the defaults of settings that came after the record."""
    defaults = {
        name: field.get_default() for name, field in RecipeSettings.model_fields.items() if not field.exclude
    }
    content = {
        **{name: value for name, value in defaults.items() if isinstance(value, (str, int))},
        **of_its_time(record.configuration),
    }
    # Another version's settings are shown as they are; its names of fields need no notice here.
    with contextlib.suppress(KeyError, ValidationError), contextlib.redirect_stderr(io.StringIO()):
        content["settings"] = Preset.model_validate(content["settings"]).model_dump(mode="json")
    return content


def value_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name and both values where they differ; None where one does not have it."""
    for name in dict.fromkeys([*first, *second]):
        before, now = first.get(name), second.get(name)
        if before != now and name not in NOT_COMPARED:
            yield name, before, now


def _short(content: str | None) -> str | None:
    return None if content is None else content[:12]


# --- Rows ---------------------------------------------------------------------------------------------------


def compared_rows(one: Side, other: Side) -> tuple[list[Difference], list[str]]:
    """Return the differences of the rows that both records have, and remarks."""
    a, b = one.record, other.record
    if a.dataset is None or b.dataset is None:
        return _perplexities(a, b), ["a record without a data set has language models alone"]
    if _measured(a.dataset) != _measured(b.dataset):
        return [], ["the records have other test texts, labels or metrics: their results cannot be compared"]
    remarks = [f"not tested over texts: {side.why_none}" for side in (one, other) if side.why_none]
    metric = a.dataset.metric
    theirs = {row.name: row for row in b.rows}
    found, unpaired = [], []
    for row in a.rows:
        if row.name not in theirs:
            continue
        pair = one.rows.get(row.name), other.rows.get(row.name)
        if pair[0] is not None and pair[1] is not None and _same_texts(pair[0], pair[1]):
            found.append(_over_texts(pair[0], pair[1], metric))
        elif None not in pair:
            unpaired.append(row.name)
        else:
            found.append(_over_seeds(row, theirs[row.name], metric))
    if unpaired:
        remarks.append(f"not compared, their test texts or labels differ: {', '.join(unpaired)}")
    for which, own, others in (("first", a.rows, b.rows), ("second", b.rows, a.rows)):
        names = [row.name for row in own if row.name not in {one.name for one in others}]
        if names:
            remarks.append(f"only in the {which}: {', '.join(names)}")
    return _corrected(found), remarks


def _measured(data: DatasetSummary) -> tuple[object, ...]:
    """Return what has to be the same for figures to be about the same."""
    return data.metric, data.task, data.rows.get("test"), data.labels, data.positive_label


def _same_texts(first: ScoredRow, second: ScoredRow) -> bool:
    """Return whether two rows were scored on the same texts with the same labels."""
    import numpy as np

    same = first.ids == second.ids
    return same and bool(np.array_equal(first.outcomes[0].gold, second.outcomes[0].gold))


def _over_texts(first: ScoredRow, second: ScoredRow, metric: str) -> Difference:
    """Test a difference paired over the texts of the test split, the trained models as they are."""
    from ulmfit.evaluation.row import compare_rows

    base = dataclasses.replace(first, result=first.result.model_copy(update={"name": "first"}))
    (comparison,) = compare_rows([base, second], metric, reference="first")
    return Difference(
        row=first.result.name,
        metric=metric,
        first=first.result.metrics[metric].mean,
        second=second.result.metrics[metric].mean,
        basis="texts",
        interval=comparison.interval,
        p=comparison.p_permutation,
        seeds=(first.result.runs, second.result.runs),
        seed_margin=comparison.seed_margin,
    )


def _over_seeds(first: RowResult, second: RowResult, metric: str) -> Difference:
    """Test a difference over the seeds alone, by Welch's t-test; without several seeds there is no test."""
    from ulmfit.evaluation.row import seed_margin_of

    before, now = first.metrics[metric], second.metrics[metric]
    margin = seed_margin_of(second, first, metric)
    difference = now.mean - before.mean
    p = None if margin is None else welch_p(before.values, now.values)
    return Difference(
        row=first.name,
        metric=metric,
        first=before.mean,
        second=now.mean,
        basis="none" if p is None else "seeds",
        interval=None if p is None or margin is None else (difference - margin, difference + margin),
        p=p,
        seeds=(first.runs, second.runs),
        seed_margin=margin,
    )


def welch_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Welch's t-test; None where neither row has any spread.

    A row of one value is a deterministic method, which has none of its own.
    """
    from scipy import stats

    if not any(len(set(values)) > 1 for values in (first, second)):
        return None
    if len(first) > 1 and len(second) > 1:
        return float(stats.ttest_ind(first, second, equal_var=False).pvalue)
    several, single = (first, second) if len(first) > 1 else (second, first)
    return float(stats.ttest_1samp(several, single[0]).pvalue)


def _corrected(found: list[Difference]) -> list[Difference]:
    """Correct the p-values for as many comparisons as there are of each basis (Holm 1979)."""
    from ulmfit.evaluation.significance import holm

    for basis in ("texts", "seeds"):
        places = [place for place, one in enumerate(found) if one.basis == basis and one.p is not None]
        adjusted = holm([found[place].p or 0.0 for place in places])
        for place, p in zip(places, adjusted, strict=True):
            found[place] = dataclasses.replace(found[place], p=p)
    return found


def _perplexities(first: Record, second: Record) -> list[Difference]:
    """Return the word perplexities of language models that both have; nothing is known of their chance."""
    found = []
    theirs = {(one.name, one.direction, one.split): one for one in second.language_models}
    for model in first.language_models:
        other = theirs.get((model.name, model.direction, model.split))
        if other is None or model.word_perplexity is None or other.word_perplexity is None:
            continue
        name = f"{model.name}, {model.direction}, {model.split}"
        found.append(
            Difference(name, "word_perplexity", model.word_perplexity, other.word_perplexity, basis="none")
        )
    return found


def in_words(one: Difference) -> str:
    """Return what a difference means and does not mean, for a reader."""
    from ulmfit.evaluation.metric_text import p_value, shown_difference

    if one.interval is None or one.p is None:
        runs = "one run each" if max(one.seeds) == 1 else "runs without any spread"
        if 1 in one.seeds and max(one.seeds) > 1 and one.seed_margin is None:
            runs = "one of them has a single run"
        return f"{runs}, and no predictions of both are here: whether this is chance is not known"
    low, high = (shown_difference(one.metric, bound) for bound in one.interval)
    counts = "each" if one.seeds[0] == one.seeds[1] else f"and {one.seeds[1]}"
    seeds = f"{one.seeds[0]} {'seed' if one.seeds[0] == 1 else 'seeds'} {counts}"
    if one.basis == "seeds":
        chance = "may be chance" if one.p >= 0.05 else "more than seeds explain"
        return f"95 % over seeds [{low}, {high}], p {p_value(one.p)}, {seeds}: {chance}"
    told = f"95 % over test texts [{low}, {high}], p {p_value(one.p)}, for these models"
    if one.p >= 0.05:
        return f"{told}: may be chance"
    if one.seed_margin is None:
        return f"{told}: a difference on such texts; {seeds} says nothing of other seeds"
    within = abs(one.difference) <= one.seed_margin
    margin = shown_difference(one.metric, one.seed_margin).lstrip("+")
    verdict = "within the noise of seeds" if within else "more than the noise of seeds"
    return f"{told}: {verdict} (± {margin}, {seeds})"
