"""The record of a run: everything that its table was made from. It holds ids and numbers, never texts.

A part of it is defined beside what measures it: cards of the corpus and of tokenizers, checks, perplexities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from ulmfit.corpus.card import CorpusAccount
from ulmfit.corpus.checks.summary import DataCheckSummary
from ulmfit.corpus.filters import LeakSummary
from ulmfit.datasets.metric_table import ranking_metrics
from ulmfit.datasets.task import Task, has_numbers, has_one_label
from ulmfit.evaluation.grammar_card import GrammarSummary
from ulmfit.evaluation.learning_curve import LearningCurve
from ulmfit.evaluation.published import PublishedResult
from ulmfit.evaluation.row import MetricValues, RowResult, row_result
from ulmfit.evaluation.significance import Comparison
from ulmfit.language_model.figures import LanguageModelResult, PolEvalResult
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import compact_json, read_bytes, write_text
from ulmfit.pipeline.record_part import MOST_SEEDS, RecordPart, first_fault
from ulmfit.tokens.card import TokenizerComparison

__all__ = [
    "CorpusAccount",
    "DatasetSummary",
    "MetricValues",
    "Record",
    "RowResult",
    "StageTime",
    "read_record",
    "row_result",
    "write_record",
]

LARGEST_RECORD = 64_000_000
"""Bytes; a run of 1,000 seeds has a tenth of it."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


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
    rows: dict[str, NonNegativeInt] = Field(description="rows of each split")
    labels: tuple[str, ...] = Field(
        description="label names, in the order of the confusion matrices; (): numbers in their place"
    )
    task: Task = Field("single_label", description="what a text's label is: a name, names, or a number")
    metric: str = Field(description="the metric of the first column")
    positive_label: str | None = Field(None, description="what binary_f1 is about; None without it")
    warnings: tuple[str, ...] = Field(
        (), description="what was lost or changed when the files were read, with ids; (): nothing, or unknown"
    )

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if self.metric not in ranking_metrics(self.task):
            raise ValueError(f"metric {self.metric} does not fit task {self.task}")
        if bool(self.labels) == has_numbers(self.task):
            raise ValueError(f"{len(self.labels)} labels do not fit task {self.task}")
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
    repeat_notes: tuple[str, ...] = Field(
        (),
        description="what else is needed to repeat the run, beside command and commit; (): nothing",
    )
    dataset: DatasetSummary | None = Field(description="None for a run of language models only")
    rows: tuple[RowResult, ...]
    comparisons: tuple[Comparison, ...] = Field((), description="each row against the reference row")
    published: tuple[PublishedResult, ...] = Field((), description="what others reported; not of this run")
    language_models: tuple[LanguageModelResult, ...] = ()
    poleval: tuple[PolEvalResult, ...] = Field((), description="PolEval-2018 perplexities, if asked for")
    grammar: GrammarSummary | None = Field(None, description="minimal pairs; None: none were asked for")
    seeds: tuple[int, ...] = Field(max_length=MOST_SEEDS, description="seeds of fine-tuning and classifier")
    stages: tuple[StageTime, ...] = ()
    corpora: tuple[CorpusAccount, ...] = Field((), description="corpora behind the language models")
    curves: tuple[LearningCurve, ...] = Field((), description="over train sizes or label noise; (): none")
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
            of_one_label = row.label_metrics or row.confusion or row.calibration
            if of_one_label and not has_one_label(self.dataset.task):
                raise ValueError(f"row {row.name!r} has figures that only single labels have")
            if len(row.label_metrics) not in (0, size):
                raise ValueError(
                    f"row {row.name!r} has figures of {len(row.label_metrics)} labels, not {size}"
                )
            if any(
                len(matrix) != size or any(len(line) != size for line in matrix) for matrix in row.confusion
            ):
                raise ValueError(f"row {row.name!r}: confusion matrices have to be {size} x {size}")
        return self

    @model_validator(mode="after")
    def _comparisons_fit_the_rows(self) -> Self:
        names = {row.name for row in self.rows}
        for comparison in self.comparisons:
            if unknown := {comparison.row, comparison.reference} - names:
                raise ValueError(f"comparison of {unknown.pop()!r}, which is no row")
        return self


def write_record(path: Path, record: Record) -> None:
    """Write `record.json`, short lists on one line."""
    write_text(path, compact_json(record.model_dump(mode="json")))


def read_record(path: Path) -> Record:
    """Read `record.json`; raises InputError for a missing or malformed file and for unknown fields."""
    try:
        if (size := path.stat().st_size) > LARGEST_RECORD:
            raise InputError(
                f"record {path} has {size:,} bytes, more than the {LARGEST_RECORD:,} of any record"
            )
        return Record.model_validate_json(read_bytes(path))
    except FileNotFoundError as error:
        raise InputError(f"record {path} does not exist: expected a record.json") from error
    except (OSError, ValidationError, ArithmeticError) as error:
        raise InputError(f"record {path} cannot be used: {first_fault(error)}") from error
