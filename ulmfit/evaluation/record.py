"""The record of a run: everything that its table was made from. It holds ids and numbers, never texts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ulmfit.classifier.predictions import Predictions, check_same_rows
from ulmfit.errors import InputError
from ulmfit.evaluation.cards import CorpusFigures, LeakSummary, TokenizerComparison
from ulmfit.evaluation.data_checks import DataCheckSummary
from ulmfit.evaluation.language_models import LanguageModelResult, PolEvalResult
from ulmfit.evaluation.metrics import MainMetric, confusion_matrix, score
from ulmfit.evaluation.record_part import RecordPart, first_fault, part_of
from ulmfit.files import write_json

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Matrix = tuple[tuple[int, ...], ...]


class MetricValues(RecordPart):
    """One metric of one row of the table."""

    values: tuple[float, ...] = Field(description="one value a seed, in the order of the row's seeds; 0 to 1")
    mean: float = Field(description="arithmetic mean of the values")
    sd: float | None = Field(description="sample standard deviation (n - 1); None for a single seed")

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Compute mean and standard deviation of at least one value."""
        sd = statistics.stdev(values) if len(values) > 1 else None
        return cls(values=tuple(values), mean=statistics.fmean(values), sd=sd)

    @model_validator(mode="after")
    def _agrees_with_values(self) -> Self:
        if not self.values:
            raise ValueError("a metric needs at least one value")
        if not math.isclose(self.mean, statistics.fmean(self.values), abs_tol=1e-9):
            raise ValueError("mean does not agree with values")
        sd = statistics.stdev(self.values) if len(self.values) > 1 else None
        if (sd is None) != (self.sd is None) or not math.isclose(sd or 0, self.sd or 0, abs_tol=1e-9):
            raise ValueError("sd does not agree with values")
        return self


class RowResult(RecordPart):
    """One row of the results table: a model (or a baseline) over its seeds, on the test split."""

    name: str = Field(description="what the reader sees, such as 'ULMFiT, forward'")
    kind: Literal["model", "ensemble", "baseline", "comparison"] = Field(
        description="model: one classifier; ensemble: averaged ones; baseline: no pretraining; "
        "comparison: another library's model"
    )
    seeds: tuple[int, ...] = Field(description="seed of each run")
    metrics: dict[str, MetricValues] = Field(description="metric name -> its values on the test split")
    valid_metrics: dict[str, MetricValues] = Field({}, description="the same on validation; empty if unknown")
    confusion: tuple[Matrix, ...] = Field(
        description="one matrix a seed on the test split; rows are gold, columns predicted labels"
    )
    notes: tuple[str, ...] = Field((), description="remarks shown below the table")

    @model_validator(mode="after")
    def _one_value_a_seed(self) -> Self:
        for name, metric in {**self.metrics, **self.valid_metrics}.items():
            if len(metric.values) != len(self.seeds):
                raise ValueError(f"{name} has {len(metric.values)} values for {len(self.seeds)} seeds")
        if len(self.confusion) != len(self.seeds):
            raise ValueError(f"{len(self.confusion)} confusion matrices for {len(self.seeds)} seeds")
        return self

    @property
    def total_confusion(self) -> Matrix:
        """The confusion matrix summed over the seeds."""
        return tuple(
            tuple(sum(cells) for cells in zip(*rows, strict=True))
            for rows in zip(*self.confusion, strict=True)
        )


class StageTime(RecordPart):
    """What one stage cost."""

    name: str = Field(description="stage name")
    key: str = Field(description="key of the stage's folder")
    seconds: float = Field(ge=0, description="wall-clock seconds of the build")
    tokens_per_second: float | None = Field(None, description="training speed; None for other stages")
    commit: str = Field("", description="commit of the code that built it; empty outside of a checkout")


class DatasetSummary(RecordPart):
    """The labelled data behind the table."""

    name: str
    source: str = Field(description="where it comes from, in words")
    licence: str
    rows: dict[str, int] = Field(description="rows of each split")
    labels: tuple[str, ...] = Field(description="label names, in the order of the confusion matrices")
    metric: MainMetric = Field(description="the metric of the first column")
    positive_label: str | None = Field(None, description="what binary_f1 is about; None without it")


class CorpusAccount(RecordPart):
    """Where the pages of a corpus went; the sum closes."""

    source: str = Field(description="the dump or files, in words")
    pages_read: int = Field(ge=0)
    documents_written: int = Field(ge=0)
    left_out: dict[str, int] = Field(description="reason -> number of pages")
    figures: CorpusFigures | None = Field(None, description="what the documents are; None: not measured")

    @model_validator(mode="after")
    def _sum_closes(self) -> Self:
        accounted = self.documents_written + sum(self.left_out.values())
        if accounted != self.pages_read:
            raise ValueError(f"{self.pages_read} pages read but {accounted} accounted for")
        if self.figures and self.figures.documents != self.documents_written:
            raise ValueError(
                f"{self.documents_written} documents, but {self.figures.documents} were measured"
            )
        return self


class Record(RecordPart):
    """One run of one recipe."""

    format_version: Literal[1] = 1
    recipe: str = Field(description="name of the recipe, such as 'de/germeval2018'")
    title: str
    language: str = Field(description="language code")
    preset: str
    labels: tuple[str, ...] = Field((), description="such as 'transductive', 'small', 'invented language'")
    command: str = Field("", description="the command that repeats the run; empty if unknown")
    dataset: DatasetSummary | None = Field(description="None for a run of language models only")
    rows: tuple[RowResult, ...]
    language_models: tuple[LanguageModelResult, ...] = ()
    poleval: tuple[PolEvalResult, ...] = Field((), description="PolEval-2018 perplexities, if asked for")
    seeds: tuple[int, ...] = Field(description="seeds of fine-tuning and classifier")
    stages: tuple[StageTime, ...] = ()
    corpora: tuple[CorpusAccount, ...] = Field((), description="corpora behind the language models")
    leaks: LeakSummary | None = Field(None, description="test texts in the corpora; None: not checked")
    tokenizers: TokenizerComparison | None = Field(None, description="None: not measured")
    data_checks: DataCheckSummary | None = Field(None, description="faults of the data; None: not checked")
    inputs: dict[str, Sha256] = Field({}, description="name of each input file -> SHA-256")
    configuration: dict[str, Any] = Field(description="the whole configuration, as JSON")
    commit: str = Field(description="commit of the code, with a mark when the tree was changed")
    versions: dict[str, str] = Field(description="library -> version")
    hardware: dict[str, str | int | float | None] = Field(description="device, cores, memory and so on")

    @model_validator(mode="after")
    def _rows_fit_the_data(self) -> Self:
        if self.dataset is None:
            if self.rows:
                raise ValueError("rows of results need a data set")
            return self
        size = len(self.dataset.labels)
        for row in self.rows:
            if self.dataset.metric not in row.metrics:
                raise ValueError(f"row {row.name!r} lacks the main metric {self.dataset.metric}")
            if any(
                len(matrix) != size or any(len(line) != size for line in matrix) for matrix in row.confusion
            ):
                raise ValueError(f"row {row.name!r}: confusion matrices have to be {size} x {size}")
        return self


def row_result(
    name: str,
    runs: Sequence[tuple[int, Predictions]],
    *,
    kind: Literal["model", "ensemble", "baseline", "comparison"] = "model",
    positive_label: str | None = None,
    valid_runs: Sequence[tuple[int, Predictions]] = (),
    notes: Sequence[str] = (),
) -> RowResult:
    """Score one row of the table: `runs` are (seed, test predictions), `valid_runs` the same on validation.

    Raises InputError without runs, for a seed that occurs twice, for runs on different rows, and when the
    seeds of `valid_runs` are others.
    """
    seeds = _checked_seeds(name, runs)
    if valid_runs and _checked_seeds(name, valid_runs) != seeds:
        raise InputError(f"row {name!r}: validation and test were predicted by different seeds")
    return RowResult(
        name=name,
        kind=kind,
        seeds=seeds,
        metrics=_metric_values(runs, positive_label),
        valid_metrics=_metric_values(valid_runs, positive_label) if valid_runs else {},
        confusion=tuple(confusion_matrix(run.gold, run.predicted, run.labels) for _, run in runs),
        notes=tuple(notes),
    )


def corpus_account(account: Mapping[str, Any]) -> CorpusAccount:
    """Summarise the content of an `account.json`: counts only. Raises InputError when it is malformed."""
    try:
        return CorpusAccount(
            source=account["source"],
            pages_read=account["pages_read"],
            documents_written=account["documents_written"],
            left_out={reason: entry["count"] for reason, entry in account["left_out"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InputError(f"account of the corpus: {first_fault(error)}") from error


def measured_corpus(card: Mapping[str, Any]) -> CorpusAccount:
    """Take over the `card.json` of a corpus, account and figures. Raises InputError when it is malformed."""
    figures = {name: value for name, value in card.items() if name != "account"}
    account = card.get("account")
    content = {**account, "figures": figures} if isinstance(account, Mapping) else account
    return part_of(CorpusAccount, content, "card of the corpus")


def measured_tokenizers(card: Mapping[str, Any]) -> TokenizerComparison:
    """Take over the `card.json` of tokenizers. Raises InputError when it is malformed."""
    return part_of(TokenizerComparison, card, "card of the tokenizers")


def checked_leaks(summary: Mapping[str, Any]) -> LeakSummary:
    """Take over the summary of a leak check. Raises InputError when it is malformed."""
    return part_of(LeakSummary, summary, "leak check")


def write_record(path: Path, record: Record) -> None:
    """Write `record.json`."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path) -> Record:
    """Read `record.json`; raises InputError for a missing or malformed file and for unknown fields."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"record {path} cannot be used: {first_fault(error)}") from error


def _checked_seeds(name: str, runs: Sequence[tuple[int, Predictions]]) -> tuple[int, ...]:
    if not runs:
        raise InputError(f"row {name!r}: there are no runs; expected the predictions of at least one seed")
    seeds = tuple(seed for seed, _ in runs)
    if len(set(seeds)) != len(seeds):
        raise InputError(f"row {name!r}: a seed occurs twice in {seeds}; expected distinct seeds")
    check_same_rows([run for _, run in runs], f"row {name!r}")
    return seeds


def _metric_values(
    runs: Sequence[tuple[int, Predictions]], positive_label: str | None
) -> dict[str, MetricValues]:
    scores = [score(run.gold, run.predicted, run.labels, positive_label) for _, run in runs]
    return {metric: MetricValues.of([one[metric] for one in scores]) for metric in scores[0]}
