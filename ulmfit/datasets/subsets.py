"""A data set with a part of its training texts: what learning curves over the number of labels are made of.

Subsets of one seed are nested: a larger one holds every text of a smaller one. Each has the labels in the
proportions of the whole training set, up to rounding, and every label at least once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.task import check_one_label
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Work

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SUBSET_SALT = "ulmfit training subset"


class DerivedDataset(DatasetStage):
    """A data set made from another one: other training rows, the same labels, validation and test rows."""

    dataset: DatasetStage = Field(description="the data set that it is made from")

    @classmethod
    def of(cls, dataset: DatasetStage, **settings: Any) -> Self:
        """Make one that is scored like `dataset`."""
        return cls(dataset=dataset, metric=dataset.metric, positive_label=dataset.positive_label, **settings)

    @property
    def with_same_test(self) -> DatasetStage:
        """The data set that all these changes began with; none of them changes the test split."""
        return self.dataset.with_same_test

    @model_validator(mode="after")
    def _is_scored_alike(self) -> Self:
        for name in ("metric", "positive_label"):
            if getattr(self, name) != getattr(self.dataset, name):
                raise ValueError(
                    f"{name} differs from that of the data set: make it with {type(self).__name__}.of"
                )
        return self

    @model_validator(mode="after")
    def _has_one_label_a_text(self) -> Self:
        check_one_label(self.task, type(self).__name__)
        check_one_label(self.dataset.task, type(self).__name__)
        return self


class TrainingSubset(DerivedDataset):
    """`size` of the training texts, stratified; labels, validation and test stay as they are.

    Without `keep_rest` it has no unlabelled texts: a language model fine-tuned on it sees no more than the
    classifier does.
    """

    stage_name: ClassVar[str] = "training-subset"

    size: int = Field(ge=1, description="training texts that are kept")
    seed: int = Field(0, ge=0, description="decides which; subsets of one seed are nested")
    keep_rest: bool = Field(
        False,
        description="the other training texts stay without their labels, among the unlabelled ones, for the "
        "language model and for pseudo-labels; false: these and the unlabelled ones are left out",
    )

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        rest = ("the rest unlabelled",) if self.keep_rest else ()
        return (*self.dataset.details, f"{self.size} texts", f"seed {self.seed}", *rest)

    def build(self, work: Work) -> None:
        """Write the tables; InputError where train has fewer texts, or more labels than `size`."""
        import pandas as pd

        folder = work.input(self.dataset)
        train = pd.read_parquet(folder / "train.parquet")
        chosen = choose(train["id"].tolist(), train["label"].tolist(), self.size, self.seed)
        others = with_unlabelled(folder, train.drop(train.index[chosen])) if self.keep_rest else {}
        remark = f"{self.size} training texts, seed {self.seed}"
        remark += ", the rest unlabelled" if self.keep_rest else ""
        write_derived(folder, work.folder, train.iloc[chosen], remark, others)
        work.log(f"{self.size:,} of {len(train):,} training texts")


def row_hash(salt: str, seed: int, row_id: str) -> int:
    """Return 64 bits that depend on nothing but the arguments."""
    content = f"{seed}\0{row_id}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8, key=salt.encode()).digest(), "big")


def choose(ids: Sequence[str], labels: Sequence[str], size: int, seed: int) -> list[int]:
    """Return the places of the `size` rows of a subset, in their order.

    Within a label the rows with the smallest hashes are taken. Raises InputError for an impossible size.
    """
    if size > len(ids):
        raise InputError(f"a training subset of {size} texts: train has only {len(ids)}; take a smaller size")
    by_label: dict[str, list[int]] = {label: [] for label in sorted(set(labels))}
    for place, label in enumerate(labels):
        by_label[label].append(place)
    if size < len(by_label):
        raise InputError(
            f"a training subset of {size} texts cannot hold all {len(by_label)} labels; take a larger size"
        )
    counts = apportion({label: len(places) for label, places in by_label.items()}, size)
    chosen = []
    for label, places in by_label.items():
        order = sorted(places, key=lambda place: (row_hash(SUBSET_SALT, seed, ids[place]), ids[place]))
        chosen += order[: counts[label]]
    return sorted(chosen)


def apportion(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Divide `size` texts among labels as their `counts` are, growing with `size` for every label.

    With the method of largest remainders a label may lose a text when `size` grows (the Alabama paradox), and
    subsets would not be nested. Here every label gets one text, and each further text goes to a label that is
    below its share: to the one with the largest ratio of its count to the texts that it would then have (the
    quota method of Balinski and Young 1975).
    """
    total = sum(counts.values())
    given = dict.fromkeys(counts, 1)
    for number in range(len(counts) + 1, size + 1):
        below = [label for label in counts if given[label] * total < number * counts[label]]
        given[max(below, key=lambda label: counts[label] / (given[label] + 1))] += 1
    return given


def with_unlabelled(folder: Path, texts: DataFrame, prefix: str = "train/") -> dict[str, DataFrame]:
    """Return the unlabelled texts of the data set in `folder`, then the texts of `others`, without labels.

    `prefix` stands before the ids of the others. Texts that are there already are not repeated. The result is
    what `write_derived` takes: empty where there are none.
    """
    import pandas as pd

    path = folder / "unlabelled.parquet"
    own = pd.read_parquet(path) if path.exists() else pd.DataFrame({"id": [], "text": []}, dtype=str)
    new = texts.loc[~texts["text"].isin(own["text"]), ["id", "text"]]
    new = new.assign(id=free_prefix(prefix, new["id"], own["id"]) + new["id"])
    found = pd.concat([own, new], ignore_index=True)
    return {} if found.empty else {"unlabelled": found}


def free_prefix(prefix: str, ids: Series, taken: Series) -> str:
    """Return the prefix, repeated until no id is one of `taken`.

    Ids that are row numbers may be the same in the pools of two rounds.
    """
    repeated = prefix
    while (repeated + ids).isin(taken).any():
        repeated += prefix
    return repeated


def write_derived(
    source: Path,
    target: Path,
    train: DataFrame,
    remark: str,
    others: Mapping[str, DataFrame] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write a data set with another `train` table; validation, test and the labels' names are copied.

    `others` are tables of other splits that are replaced, such as valid or unlabelled; `warnings` are put
    behind those of the data set.
    """
    import shutil

    from ulmfit.pipeline.files import atomic_path, read_json, sha256_of, write_json

    tables = {"train": train, **(others or {})}
    description = read_json(source / "dataset.json")
    rows, hashes = {}, {}
    for split in ("train", "valid", "test", *(["unlabelled"] if "unlabelled" in tables else [])):
        path = target / f"{split}.parquet"
        with atomic_path(path) as temporary:
            if split in tables:
                tables[split].to_parquet(temporary, index=False, compression="zstd")
            else:
                shutil.copyfile(source / path.name, temporary)
        rows[split] = len(tables[split]) if split in tables else description["rows"][split]
        hashes[path.name] = sha256_of(path)
    changed = {"name": f"{description['name']}, {remark}", "rows": rows, "files": hashes}
    changed["warnings"] = [*description["warnings"], *warnings]
    write_json(target / "dataset.json", description | changed)
