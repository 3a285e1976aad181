"""The stages that turn labelled files into checked train/valid/test tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from ulmfit.datasets.metric_table import metric_of, ranking_metrics
from ulmfit.datasets.task import TASKS, Task, has_one_label
from ulmfit.datasets.text_rules import TextRule
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.stage import Stage, Work

if TYPE_CHECKING:
    from pandas import DataFrame

    from ulmfit.datasets.reading import TextForm

METRICS_OF_TASK: dict[Task, tuple[str, ...]] = {task: ranking_metrics(task) for task in TASKS}
"""The metrics that a task's data sets can be ranked by; the first is its default."""


class DatasetStage(Stage):
    """Base of every stage whose folder holds `train/valid/test.parquet` and `dataset.json`.

    The tables have the columns id and text, which are strings, and label: a string, in multi-label tasks a
    list of strings, which may be empty, in regression a number. `unlabelled.parquet` (id and text) is
    optional. `dataset.json` says where the data comes from, which labels it has, and the task where that is
    not single_label.
    """

    name: str = Field("", description="name of the data set, for tables; empty: the stage's name")
    language: str = Field("", description="language code, e.g. `de`; empty: not stated")
    source: str = Field("", description="where the data comes from, in words; empty: what its files say")
    licence: str = Field("", description="licence of the data; empty: what its files say")
    task: Task = Field(
        "single_label",
        description="single_label: one label per text; multi_label: any number of labels, or none; "
        "regression: one number per text",
    )
    label_separator: str = Field(
        "|",
        min_length=1,
        description="what stands between the labels of a multi-label cell, unless it is a list",
    )
    metric: str = Field(
        "accuracy",
        description="headline metric, a name of ulmfit/datasets/metric_table.py; not given: the task's first "
        "in METRICS_OF_TASK",
    )
    positive_label: str | None = Field(
        None, description="label that binary_f1 counts as positive; None: the metric needs none"
    )
    valid_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of train that becomes valid where none is published"
    )
    text_rules: tuple[TextRule, ...] = Field(
        (),
        description="what is done to every text, in this order, in training and by a bundle: [old, new] "
        "replaces a string, one_space makes runs of white space one space, strip takes white space off the "
        "ends; (): nothing",
    )

    def changed(self, **values: Any) -> Self:
        """Return a copy with `values` replaced.

        With another task the metric becomes the default of that task.
        """
        fitting = _fitting_metrics(values.get("task", self.task))
        if fitting and self.metric == METRICS_OF_TASK[self.task][0]:
            values = {"metric": fitting[0], **values}
        return super().changed(**values)

    @model_validator(mode="before")
    @classmethod
    def _metric_follows_the_task(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "metric" in values:
            return values
        fitting = _fitting_metrics(values.get("task", cls.model_fields["task"].default))
        if not fitting or cls.model_fields["metric"].default in fitting:
            return values
        return {**values, "metric": fitting[0]}

    @model_validator(mode="after")
    def _metric_fits_the_task(self) -> Self:
        fitting = METRICS_OF_TASK[self.task]
        if self.metric not in fitting:
            raise ValueError(
                f"metric {self.metric} does not fit task {self.task}: expected one of {', '.join(fitting)}"
            )
        if self.positive_label is not None and not has_one_label(self.task):
            raise ValueError(f"positive_label is for single_label tasks, this is {self.task}: leave it out")
        return self

    @property
    def record_label(self) -> str:
        """What records and tables have to say about the data; empty: nothing."""
        return ""

    @property
    def has_unlabelled(self) -> bool | None:
        """Whether there are unlabelled texts; None: not known before it is built."""
        return None

    @property
    def with_same_test(self) -> DatasetStage:
        """The data set that this one is made from and whose test split it has; itself where there is none.

        What depends on the test split alone is made from that one, so that other labels or training texts
        leave its key as it is.
        """
        return self

    @field_validator("positive_label")
    @classmethod
    def _is_composed(cls, label: str | None) -> str | None:
        """Labels are in NFC."""
        return label if label is None else unicodedata.normalize("NFC", label)

    @model_validator(mode="after")
    def _metric_has_a_positive_label(self) -> Self:
        if metric_of(self.task, self.metric).of_positive_label and self.positive_label is None:
            raise ValueError(f"metric {self.metric} needs positive_label: name the label that it counts")
        return self


class ChangedDataset(DatasetStage):
    """A data set with the rows of another one, of which some are left out in any split, the test split too.

    Name, metric and so on are those of `dataset` unless they are set.
    """

    dataset: DatasetStage = Field(description="the data set that it is made from")

    @model_validator(mode="before")
    @classmethod
    def _takes_over_what_is_said_of_the_data(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(dataset := values.get("dataset"), DatasetStage):
            return {name: getattr(dataset, name) for name in DatasetStage.model_fields} | values
        return values

    @property
    def has_unlabelled(self) -> bool | None:
        """Whether there are unlabelled texts, as in the data set that it is made from."""
        return self.dataset.has_unlabelled


def _fitting_metrics(task: Any) -> tuple[str, ...]:
    """Return the metrics of a task, none where `task` is no task."""
    return next((metrics for name, metrics in METRICS_OF_TASK.items() if name == task), ())


def write_dataset(
    work: Work, stage: DatasetStage, splits: Mapping[str, DataFrame], text_rules: Sequence[TextRule] = ()
) -> None:
    """Check the tables of `splits` and write the files of a data set stage.

    `splits` has train and test, and optionally valid (else made from train) and unlabelled. `text_rules` come
    before those of the stage; `dataset.json` names both. Raises InputError when the tables are no data set;
    warns of what was dropped.
    """
    from ulmfit.datasets.tables import Description, check_splits, with_text_rules, write_tables

    rules = (*text_rules, *stage.text_rules)
    changed = {split: with_text_rules(table, rules) for split, table in splits.items()}
    checked = check_splits(
        changed, stage.valid_fraction, work.warn, task=stage.task, separator=stage.label_separator
    )
    description = Description(
        name=stage.name or stage.stage_name,
        language=stage.language,
        source=stage.source or _joined(file.source for file in stage.input_files()),
        licence=stage.licence or _joined(file.licence for file in stage.input_files()),
        task=stage.task,
        metric=stage.metric,
        positive_label=stage.positive_label,
        warnings=tuple(work.warnings),
        text_rules=rules,
    )
    rows = write_tables(work.folder, checked, description)
    work.log(", ".join(f"{split} {count:,}" for split, count in rows.items()))


def _joined(values) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


TEXT_COLUMN = Field(
    "text", description="column of the texts, or several, such as title and body: a text is all of them"
)
FIELD_MARKS = Field(
    False,
    description="begin each column of a text with xxfld and its number, as fastai's mark_fields does; off: a "
    "space is between them",
)
Files = File | tuple[File, ...]


class LabelledFiles(DatasetStage):
    """A data set in files of the user: CSV, TSV (without quoting), JSON, JSON Lines or Parquet.

    They may be compressed (.bz2, .gz, .xz, .zst), and a split may be several files, whose rows stand in
    their order. In a multi-label task a cell holds labels with `label_separator` between them, or in JSON
    and Parquet a list.
    """

    stage_name: ClassVar[str] = "labelled-files"
    stage_version: ClassVar[int] = 3

    train: Files = Field(description="labelled texts to train on: a file, or several")
    valid: Files | None = Field(None, description="labelled texts for validation; None: made from train")
    test: Files | None = Field(
        None, description="labelled texts for testing; None: made from train, see test_fraction"
    )
    test_fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of train that becomes test where no file is given, chosen by a hash of the texts; "
        "None: test is a file",
    )
    unlabelled: Files | None = Field(None, description="texts for the language model alone; None: none")
    text_column: str | tuple[str, ...] = TEXT_COLUMN
    field_marks: bool = FIELD_MARKS
    label_column: str = Field("label", description="column of the labels")
    id_column: str = Field("id", description="column of the ids; they are made where a file has none")
    columns: tuple[str, ...] = Field(
        (), description="names of the columns, for CSV and TSV files without a header; (): they have one"
    )
    encoding: str = Field("utf-8", description="encoding of files that are text, such as cp1250 or utf-16")
    separator: str = Field(
        "",
        max_length=1,
        pattern=r'^[^"\r\n]?$',
        description='character between the columns of CSV files, such as ";"; empty: a comma',
    )

    @model_validator(mode="after")
    def _splits_have_files(self) -> Self:
        if empty := [split for split, files in self._files().items() if not files]:
            raise ValueError(f"{empty[0]} is an empty list: name a file")
        if (self.test is None) == (self.test_fraction is None):
            raise ValueError("expected test, a file, or test_fraction, such as 0.2: one of them")
        return self

    @property
    def has_unlabelled(self) -> bool | None:
        """Whether a file of unlabelled texts is named."""
        return self.unlabelled is not None

    def check_files(self) -> None:
        """Raise InputError for local files whose kind, columns or first row `build` would refuse."""
        from ulmfit.datasets.reading import check_table, check_table_name

        for split, files in self._files().items():
            for file in files:
                if file.path is None:
                    check_table_name(file.name)
                elif file.path.exists():
                    check_table(file.path, self._columns(split), ("id",), self.columns, self._form())

    def build(self, work: Work) -> None:
        """Read the files and write the tables; InputError names what is wrong in which file."""
        write_dataset(work, self, self.read(work.file))

    def read(self, place: Callable[[File], Path]) -> dict[str, DataFrame]:
        """Return the tables of the splits, not checked yet; `place` says where a file is on the disk."""
        from ulmfit.datasets.fields import with_text
        from ulmfit.datasets.reading import join_tables, read_table
        from ulmfit.datasets.tables import split_off_test
        from ulmfit.datasets.targets import LABELS

        lists = ("label",) if LABELS[self.task].several else ()
        splits = {}
        for split, files in self._files().items():
            columns, form = self._columns(split), self._form()
            tables = [read_table(place(file), columns, ("id",), lists, self.columns, form) for file in files]
            table = join_tables([file.label for file in files], tables)
            splits[split] = with_text(table, tuple(self._texts()), self.field_marks, split)
        if self.test_fraction is not None:
            splits["train"], splits["test"] = split_off_test(
                splits["train"], self.test_fraction, self.task, self.label_separator
            )
        return splits

    def _form(self) -> TextForm:
        from ulmfit.datasets.reading import TextForm

        return TextForm(self.encoding, self.separator)

    def _files(self) -> dict[str, tuple[File, ...]]:
        given = {"train": self.train, "valid": self.valid, "test": self.test, "unlabelled": self.unlabelled}
        return {
            split: files if isinstance(files, tuple) else (files,)
            for split, files in given.items()
            if files is not None
        }

    def _columns(self, split: str) -> dict[str, str]:
        labels = {} if split == "unlabelled" else {"label": self.label_column}
        return {**self._texts(), **labels, "id": self.id_column}

    def _texts(self) -> dict[str, str]:
        """Return the columns of a text under the names that `read_table` gives them: text 1, text 2."""
        columns = (self.text_column,) if isinstance(self.text_column, str) else self.text_column
        return {f"text {number}": column for number, column in enumerate(columns, 1)}


class DataScript(DatasetStage):
    """A published data set, read by a data script.

    The script is a Python file with `convert(files: Mapping[str, Path], **options: str)`, which returns a
    table (id optional, text, label) for each of train, test, and where published valid and unlabelled. The
    text may stand in several columns, which `text_column` names. Rules that prepare the texts may stand in
    `TEXT_RULES`, written as the field `text_rules`: a bundle does it as well.
    """

    stage_name: ClassVar[str] = "data-script"
    stage_version: ClassVar[int] = 2

    script: File = Field(description="the Python file")
    files: dict[str, File] = Field(description="the published files, under the names that the script uses")
    options: dict[str, str] = Field({}, description="options of the script's `convert`")
    text_column: str | tuple[str, ...] = TEXT_COLUMN
    field_marks: bool = FIELD_MARKS

    def build(self, work: Work) -> None:
        """Run the script and write the tables."""
        from ulmfit.datasets.fields import with_text
        from ulmfit.datasets.script import load_convert, run_convert, text_rules_of

        path = work.file(self.script)
        files = {name: work.file(file) for name, file in self.files.items()}
        convert = load_convert(path)
        tables = run_convert(convert, path.name, files, self.options)
        splits = {
            split: with_text(table, self.text_column, self.field_marks, split)
            for split, table in tables.items()
        }
        write_dataset(work, self, splits, text_rules_of(convert, path.name))
