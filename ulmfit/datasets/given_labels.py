"""A data set whose training labels are those of another classifier: nobody has to write labels by hand.

MultiFiT (Eisenschlos et al. 2019, arXiv 1909.04761) trains without labels of the target language in this way:
a multilingual classifier, trained on English, gives the labels, and some of them are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.datasets.subsets import DerivedDataset, with_unlabelled, write_derived
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Work

if TYPE_CHECKING:
    from pandas import DataFrame

REPORT = "given-labels.json"


class GivenLabels(DerivedDataset):
    """The texts of `dataset`; train, and valid if asked for, get the labels of a file; test keeps its own.

    The file is a table as `LabelledFiles` reads it, with a label for an id or for a text, and optionally its
    probability. Training texts without a label stay for the language model, as unlabelled ones; validation
    texts without one are dropped. A warning tells of both. Writes the tables and `given-labels.json`: how
    many labels there are, and the share that agrees with the data set's (for information: nothing uses it).
    """

    stage_name: ClassVar[str] = "given-labels"
    stage_version: ClassVar[int] = 3

    labels: File = Field(description="the other classifier's labels: a table with a header")
    match: Literal["id", "text"] = Field(
        "id",
        description="how a label finds its text: by the id, or by the whole text (in NFC)",
    )
    validation: bool = Field(
        False, description="take the file's labels for the validation texts too; false: they keep their own"
    )
    minimum_confidence: float = Field(
        0.0, ge=0, le=1, description="probability below which a label is left out; 0: off"
    )
    id_column: str = Field("id", description="column of the ids, for match id")
    text_column: str = Field("text", description="column of the texts, for match text")
    label_column: str = Field("label", description="column of the labels; an empty cell is no label")
    probability_column: str = Field("probability", description="column of the labels' probabilities")

    @model_validator(mode="after")
    def _column_is_used(self) -> Self:
        unused = "text_column" if self.match == "id" else "id_column"
        if getattr(self, unused) != type(self).model_fields[unused].default:
            raise ValueError(f"{unused} has no effect on match {self.match}: leave it out")
        return self

    @property
    def record_label(self) -> str:
        """What records and tables have to say about it."""
        least = self.minimum_confidence
        return f"labels from {self.labels.label}" + (f", probability {least:g} or more" if least else "")

    def build(self, work: Work) -> None:
        """Write the tables; InputError names what is wrong with the file."""
        import pandas as pd

        from ulmfit.pipeline.files import read_json, write_json

        folder = work.input(self.dataset)
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "valid", "test")}
        known = read_json(folder / "dataset.json")["labels"]
        given = self._read(work)
        _check(given, tables, known, self.match)
        replaced = ("train", "valid") if self.validation else ("train",)
        labelled, report = {}, {}
        for name in replaced:
            labelled[name], report[name] = self._labelled(name, tables[name], given, known, work)
        train = labelled.pop("train")
        rest = tables["train"][~tables["train"]["id"].isin(train["id"])]
        others = labelled | with_unlabelled(folder, rest)
        write_derived(folder, work.folder, train, self.record_label, others, work.warnings)
        content = {"labels": self.labels.label, "minimum_confidence": self.minimum_confidence, **report}
        write_json(work.folder / REPORT, content)

    def _read(self, work: Work) -> Given:
        from ulmfit.datasets.reading import read_table
        from ulmfit.datasets.targets import label_name

        columns = {
            self.match: self.id_column if self.match == "id" else self.text_column,
            "label": self.label_column,
            "probability": self.probability_column,
        }
        table = read_table(work.file(self.labels), columns, optional=("probability",))
        labels = [label_name(value) for value in table["label"]]
        probabilities = None
        if "probability" in table:
            cells = enumerate(zip(labels, table["probability"], strict=True), 1)
            probabilities = [_probability(value, row) if label else 0.0 for row, (label, value) in cells]
        elif self.minimum_confidence:
            raise InputError(
                f"{self.labels.label} has no column {self.probability_column!r}: minimum_confidence needs "
                f"one; set it to 0, or name the column in probability_column"
            )
        return Given(self.labels.label, [_name(value) for value in table[self.match]], labels, probabilities)

    def _labelled(
        self, split: str, table: DataFrame, given: Given, known: Sequence[str], work: Work
    ) -> tuple[DataFrame, dict]:
        """Return the rows of a split that have a label in the file, with that label, and a report on them."""
        confident = given.confident(self.minimum_confidence)
        keys = [_name(value) for value in table[self.match]]
        kept = [key in confident for key in keys]
        result = table[kept].assign(label=[confident[key] for key in keys if key in confident])
        dropped = len(table) - len(result)
        if dropped:
            fate = "are unlabelled now" if split == "train" else "dropped"
            least = f" of probability {self.minimum_confidence:g} or more" if self.minimum_confidence else ""
            work.warn(
                f"{split}: {dropped:,} of {len(table):,} texts {fate}, {self.labels.label} has no label for "
                f"them{least}"
            )
        counts = {label: int((result["label"] == label).sum()) for label in known}
        if lacking := [label for label in known if split == "train" and not counts[label]]:
            raise InputError(
                f"{self.labels.label} gives label {lacking[0]!r} to no training text: expected one or more "
                f"of every label; lower minimum_confidence, or take other labels"
            )
        if result.empty:
            raise InputError(f"{self.labels.label} has no label for any {split} text")
        agreement = float((result["label"] == table["label"][kept]).mean())
        work.log(f"{split}: {len(result):,} labels, {100 * agreement:.1f} % of them as in the data set")
        content = {"texts": len(result), "dropped": dropped, "counts": counts, "agreement": agreement}
        return result.reset_index(drop=True), content


@dataclass(frozen=True)
class Given:
    """The rows of a file of labels: `names` are ids or texts, an empty label is none."""

    file: str
    names: list[str]
    labels: list[str]
    probabilities: list[float] | None

    def confident(self, minimum: float) -> Mapping[str, str]:
        """Return the label of each id or text that has one of this probability or more."""
        probabilities = self.probabilities or [1.0] * len(self.names)
        rows = zip(self.names, self.labels, probabilities, strict=True)
        return {name: label for name, label, probability in rows if label and probability >= minimum}


def _check(given: Given, tables: Mapping[str, DataFrame], known: Sequence[str], match: str) -> None:
    """Raise InputError for ids and texts that are unknown or ambiguous, and for labels that are unknown."""
    splits: dict[str, set[str]] = {}
    for split, table in tables.items():
        for value in table[match]:
            splits.setdefault(_name(value), set()).add(split)
    seen: dict[str, str] = {}
    for row, (name, label) in enumerate(zip(given.names, given.labels, strict=True), 1):
        where = f"{given.file}, row {row}"
        shown = f"{match} {name[:60]!r}"
        if name not in splits:
            raise InputError(f"{where}: {shown} does not occur in the data set: expected its {match}s only")
        if match == "id" and len(splits[name]) > 1:
            raise InputError(
                f"{where}: {shown} stands in {' and '.join(sorted(splits[name]))}: set match to text"
            )
        if label and label not in known:
            raise InputError(f"{where}: label {label!r} is not one of {', '.join(known)}")
        if name in seen and (match == "id" or seen[name] != label):
            raise InputError(f"{where}: {shown} stands twice: expected one label for it")
        seen[name] = label


def _name(value: object) -> str:
    """Return an id or a text as a data set has it; one that is missing is empty."""
    from ulmfit.datasets.tables import text_form

    return text_form(int(value) if isinstance(value, float) and value.is_integer() else value)


def _probability(value: object, row: int) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise InputError(f"row {row}: the probability is {str(value)[:40]!r}: expected a number from 0 to 1")
    return number
