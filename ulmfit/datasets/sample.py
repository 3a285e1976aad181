"""A data set with a few texts of every split, for trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from ulmfit.datasets.stages import ChangedDataset, DatasetStage
from ulmfit.datasets.subsets import choose, row_hash, write_derived
from ulmfit.datasets.task import has_one_label
from ulmfit.pipeline.stage import Work

SAMPLE = "sample.json"
"""Texts that each split of a sample has, and those of the whole data set: `{"train": [300, 12536], ...}`."""
SAMPLE_SALT = "ulmfit data set sample"


class SampledDataset(ChangedDataset):
    """Some texts of every split of a data set, the test split included: its figures are no results.

    Of single labels each split has them in the proportions of the whole one, every label at least once; of
    several labels every one occurs that the split has. Name, metric and so on are those of `dataset` unless
    they are set.
    """

    stage_name: ClassVar[str] = "dataset-sample"

    dataset: DatasetStage = Field(description="the data set that it is taken from")
    train: int = Field(300, ge=2, description="training texts, or all where there are fewer")
    valid: int = Field(100, ge=2, description="validation texts")
    test: int = Field(100, ge=2, description="test texts")
    unlabelled: int = Field(300, ge=1, description="unlabelled texts, where the data set has any")
    seed: int = Field(0, ge=0, description="decides which texts")

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs."""
        return self.dataset.details

    def build(self, work: Work) -> None:
        """Write the tables of the chosen rows, and `sample.json`."""
        import pandas as pd

        from ulmfit.pipeline.files import write_json

        folder = work.input(self.dataset)
        tables, counts = {}, {}
        for split in ("train", "valid", "test", "unlabelled"):
            path = folder / f"{split}.parquet"
            if not path.exists():
                continue
            table = pd.read_parquet(path)
            labels = table["label"].tolist() if split != "unlabelled" else [""] * len(table)
            size = min(getattr(self, split), len(table))
            places = self._places(table["id"].tolist(), labels, size, split)
            tables[split] = table.iloc[places]
            counts[split] = [len(places), len(table)]
        kept, of = counts["train"]
        write_derived(folder, work.folder, tables.pop("train"), f"{kept:,} of {of:,} training texts", tables)
        write_json(work.folder / SAMPLE, counts)
        work.log(", ".join(f"{split} {kept:,} of {of:,}" for split, (kept, of) in counts.items()))

    def _places(self, ids: Sequence[str], labels: Sequence[Any], size: int, split: str) -> list[int]:
        """Return the places of the chosen rows, rising."""
        if has_one_label(self.task) or split == "unlabelled":
            return choose(ids, labels, max(size, len(set(labels))), self.seed)
        order = sorted(range(len(ids)), key=lambda place: row_hash(SAMPLE_SALT, self.seed, ids[place]))
        seen: set[Any] = set()
        first = []
        for place in order:
            # In regression a label is a number: there is nothing of which every kind has to occur.
            own = set(labels[place]) if self.task == "multi_label" else set()
            if own - seen:
                seen |= own
                first.append(place)
        chosen = dict.fromkeys([*first, *order])
        return sorted(list(chosen)[: max(size, len(first))])
