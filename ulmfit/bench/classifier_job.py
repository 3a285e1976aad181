"""What one process of `ulmfit bench classifier` does. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ulmfit.bench.lm_job import FULL as FULL_LM
from ulmfit.bench.lm_job import QUICK as QUICK_LM
from ulmfit.bench.lm_job import SMALL as SMALL_LM
from ulmfit.bench.lm_job import Precision
from ulmfit.language_model.settings import Architecture

Library = Literal["ours", "stock"]
Work = Literal["inference", "training"]


@dataclass(frozen=True)
class Sizes:
    """A classifier, its batches, and its documents."""

    name: str
    architecture: Architecture
    vocabulary_size: int
    batch_size: int
    tokens: int
    """Median length of a document; lengths are log-normal."""
    bptt: int = 70


FULL = Sizes("full", FULL_LM.architecture, FULL_LM.vocabulary_size, 64, tokens=300)
SMALL = Sizes("small", SMALL_LM.architecture, SMALL_LM.vocabulary_size, 64, tokens=30)
QUICK = Sizes("quick", QUICK_LM.architecture, QUICK_LM.vocabulary_size, 4, tokens=12, bptt=10)


@dataclass(frozen=True)
class Job:
    """Training on, or prediction of, some documents by one of the two libraries."""

    who: Library
    work: Work
    sizes: Sizes
    precision: Precision
    steps: int
    """Batches that are measured; `warm_up` more come first."""
    warm_up: int
    device: Literal["cpu", "cuda"]
    batch_size: int
    """Documents of a batch: in training those of `sizes`."""
    profile: bool = False
    """Say where the time of a batch goes; the seconds are not to be used."""

    @property
    def documents(self) -> int:
        """Documents that are measured: as many for every size of a batch."""
        return self.steps * self.sizes.batch_size

    @property
    def name(self) -> str:
        """What is run and with which settings, for people."""
        library = "ulmfit" if self.who == "ours" else "fastai"
        return f"{library} {self.precision}, {self.work}, {self.sizes.name}, batch {self.batch_size}"

    def as_json(self) -> str:
        """Return the job as an argument of a command."""
        content = asdict(self)
        content["sizes"]["architecture"] = self.sizes.architecture.model_dump()
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the job that `as_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        sizes = content.pop("sizes")
        architecture = Architecture(**sizes.pop("architecture"))
        return cls(sizes=Sizes(architecture=architecture, **sizes), **content)
