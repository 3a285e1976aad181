"""A data set with wrong labels in its training split: how much noise can a classifier stand?

MultiFiT's code had flaws that this avoids: one of the wrong labels was never drawn, data sets of two labels
raised an error, and validation got noise as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from ulmfit.datasets.subsets import DerivedDataset, row_hash, write_derived
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Work

ROW_SALT, LABEL_SALT = "ulmfit noisy rows", "ulmfit noisy labels"


class NoisyLabels(DerivedDataset):
    """The training texts with a share of wrong labels, an exact number; validation and test stay clean.

    Every wrong label is as likely as any other. With the same seed, a higher share changes the same labels in
    the same way, and more labels besides. There are no unlabelled texts.
    """

    stage_name: ClassVar[str] = "noisy-labels"

    share: float = Field(ge=0, le=0.5, description="share of the training labels that are wrong; 0: none")
    seed: int = Field(0, ge=0, description="decides which labels change, and to what")

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        return (*self.dataset.details, f"{100 * self.share:g} % wrong labels", f"seed {self.seed}")

    def build(self, work: Work) -> None:
        """Write the tables; warns of labels that no training text has any more."""
        import pandas as pd

        from ulmfit.pipeline.files import read_json

        folder = work.input(self.dataset)
        names = read_json(folder / "dataset.json")["labels"]
        train = pd.read_parquet(folder / "train.parquet")
        labels = noisy(train["id"].tolist(), train["label"].tolist(), names, self.share, self.seed)
        changed = sum(new != old for new, old in zip(labels, train["label"], strict=True))
        if lost := sorted(set(train["label"]) - set(labels)):
            work.warn(f"no training text has the label {lost[0]!r} any more")
        remark = f"{100 * self.share:g} % wrong training labels, seed {self.seed}"
        write_derived(folder, work.folder, train.assign(label=labels), remark)
        work.log(f"{changed:,} of {len(train):,} training labels are wrong")


def noisy(
    ids: Sequence[str], labels: Sequence[str], names: Sequence[str], share: float, seed: int
) -> list[str]:
    """Return the labels with round(share * rows) of them changed to another one of `names`.

    The rows with the smallest hashes are changed. Raises InputError where there is no other label.
    """
    if len(names) < 2:
        raise InputError(f"label noise needs two labels or more; the data set has {len(names)}")
    order = sorted(range(len(ids)), key=lambda place: (row_hash(ROW_SALT, seed, ids[place]), ids[place]))
    result = list(labels)
    for place in order[: round(share * len(ids))]:
        wrong = [name for name in names if name != labels[place]]
        result[place] = wrong[row_hash(LABEL_SALT, seed, ids[place]) % len(wrong)]
    return result
