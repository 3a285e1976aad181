"""The stages that check a data set before anything is trained on it, and that leave out what is wrong.

They are here and not in `datasets`, because they find copies of texts with the same code as the filters of a
corpus.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from ulmfit.datasets.stages import ChangedDataset, DatasetStage
from ulmfit.pipeline.settings import Settings
from ulmfit.pipeline.stage import Stage, Work

if TYPE_CHECKING:
    from ulmfit.corpus.checks.found import Thresholds

Drop = Literal[
    "train_in_test",
    "train_in_valid",
    "valid_in_test",
    "unlabelled_in_test",
    "conflicts",
    "near_empty",
    "damaged",
    "train_duplicates",
    "test_duplicates",
]
DROPS: tuple[Drop, ...] = get_args(Drop)
"""Reasons to leave a text out, in the order in which they are applied."""
CHANGED_TEST = "test split changed: texts that repeat an earlier one are left out; not the published split"
Mode = Literal["off", "count", "drop"]


class CheckSettings(Settings):
    """When two texts count as nearly the same, and when a text counts as near-empty."""

    similarity: float = Field(
        0.7,
        ge=0.3,
        le=1,
        description="Jaccard similarity of the shingles from which texts are near-duplicates",
    )
    shingle_words: int = Field(
        2,
        ge=1,
        le=20,
        description="words in a shingle; without spaces between words two characters count as a word",
    )
    permutations: int = Field(
        128, ge=16, le=1024, description="permutations of MinHash, by which texts to compare are found"
    )
    min_words: int = Field(2, ge=0, description="words below which a text is near-empty; 0: none is")
    min_letters: int = Field(3, ge=0, description="letters below which a text is near-empty; 0: none is")

    def thresholds(self) -> Thresholds:
        """Return the same settings in the form that `checks/` uses."""
        from ulmfit.corpus.checks.found import Thresholds

        return Thresholds(**{name: getattr(self, name) for name in CheckSettings.model_fields})


class DataChecks(Stage):
    """Copies inside and across splits, conflicting labels, label shift, near-empty and damaged texts.

    Writes `checks.json`: counts, and ids per kind of fault, never texts. Everything found is a warning.
    It reads the test split with its labels, and nothing that is trained depends on it.
    """

    stage_name: ClassVar[str] = "data-checks"
    stage_version: ClassVar[int] = 2

    dataset: DatasetStage = Field(description="the data set that is checked")
    settings: CheckSettings = Field(CheckSettings(), description="what counts as alike, and as near-empty")

    def build(self, work: Work) -> None:
        """Compare all texts with each other."""
        from ulmfit.corpus.checks.found import all_checks
        from ulmfit.corpus.checks.rows import read_rows
        from ulmfit.corpus.checks.summary import CHECKS
        from ulmfit.corpus.checks.wording import warnings
        from ulmfit.pipeline.files import write_json

        folder = work.input(self.dataset)
        rows = read_rows(folder, with_labels=has_labels(folder))
        progress = work.progress(len(rows), "texts")
        checks = all_checks(rows, self.settings.thresholds(), progress.advance)
        progress.close()
        write_json(work.folder / CHECKS, checks)
        for line in warnings(checks):
            work.warn(line)
        work.log(f"{len(rows):,} texts checked; all ids are in {CHECKS}")


class CleanedDataset(ChangedDataset):
    """A data set without the texts that a check finds fault with; `cleaning.json` lists the ids by reason.

    Only the test split's texts are looked at, never its labels, and no text leaves it unless
    `test_duplicates` says so. Name, metric and so on are those of `dataset` unless they are set.
    """

    stage_name: ClassVar[str] = "cleaned-dataset"
    stage_version: ClassVar[int] = 2

    dataset: DatasetStage = Field(description="the data set that is cleaned")
    drop: tuple[Drop, ...] = Field(
        (
            "train_in_test",
            "train_in_valid",
            "valid_in_test",
            "unlabelled_in_test",
            "conflicts",
            "near_empty",
            "train_duplicates",
        ),
        description="A_in_B: texts of A that stand in B leave A; conflicts: texts of train under several "
        "labels; near_empty: such texts of train and unlabelled; damaged: those that hold mojibake, "
        "replacement or control characters; A_duplicates: texts that repeat an earlier one; test_duplicates "
        "changes what is measured, and the record says so",
    )
    match: Literal["exact", "loose", "near"] = Field(
        "near",
        description="how alike texts have to be: the same; the same but for case and punctuation; nearly the "
        "same (then conflicts are looked for in loose copies)",
    )
    settings: CheckSettings = Field(CheckSettings(), description="what counts as alike, and as near-empty")

    @field_validator("drop")
    @classmethod
    def _in_the_order_of_work(cls, drop: tuple[Drop, ...]) -> tuple[Drop, ...]:
        """The order in which reasons are named changes nothing, nor the key."""
        return tuple(reason for reason in DROPS if reason in drop)

    @model_validator(mode="after")
    def _drops_something(self) -> Self:
        if not self.drop:
            raise ValueError(f"drop names no reason: expected some of {', '.join(DROPS)}")
        return self

    @property
    def record_label(self) -> str:
        """Labels for records: whether the test split differs from the published one."""
        return CHANGED_TEST if "test_duplicates" in self.drop else ""

    @property
    def with_same_test(self) -> DatasetStage:
        """The data set behind the cleaning, unless that changes the test split."""
        return self if "test_duplicates" in self.drop else self.dataset.with_same_test

    def build(self, work: Work) -> None:
        """Write the tables again without the rows that are left out."""
        from ulmfit.corpus.checks.cleaning import Cleaning, write_kept
        from ulmfit.corpus.checks.rows import read_rows
        from ulmfit.corpus.checks.summary import CLEANING
        from ulmfit.pipeline.files import write_json

        folder = work.input(self.dataset)
        rows = read_rows(folder, with_labels=has_labels(folder))
        progress = work.progress(len(rows), "texts")
        cleaning = Cleaning(rows, self.settings.thresholds(), self.match, progress.advance)
        progress.close()
        for reason in self.drop:
            cleaning.drop(reason)
        for split, reasons in cleaning.dropped.items():
            listed = ", ".join(f"{reason} {len(ids):,}" for reason, ids in reasons.items())
            work.warn(f"{split}: texts left out: {listed}")
        write_kept(folder, work.folder, cleaning.kept, work.warnings)
        write_json(work.folder / CLEANING, {"match": self.match, "dropped": cleaning.dropped})


def has_labels(folder: Path) -> bool:
    """Return whether a data set's texts have labels, not numbers."""
    from ulmfit.pipeline.files import read_json

    return bool(read_json(folder / "dataset.json")["labels"])


def checked(dataset: DatasetStage | None, mode: Mode) -> tuple[DatasetStage | None, DataChecks | None]:
    """Return the data set that an experiment uses, and the checks of the one that it comes from.

    One that a recipe cleans itself stays as it is; its checks are those of the data set before.
    """
    if dataset is None or mode == "off":
        return dataset, None
    original = dataset.dataset if isinstance(dataset, CleanedDataset) else dataset
    checks = DataChecks(dataset=original)
    if mode == "count" or original is not dataset:
        return dataset, checks
    return CleanedDataset(dataset=dataset), checks
