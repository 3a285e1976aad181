"""What `ulmfit bench` calls: the benches by name, their options, and what they report."""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from ulmfit.pipeline.errors import InputError

NAMES = ("extract", "encode", "loader", "lm", "classifier", "predict", "serve")
BENCHES = {name: f"ulmfit.bench.{name}" for name in NAMES}


@dataclass(frozen=True)
class Options:
    """Options of the command; a bench refuses those that it does not use."""

    dump: Path | None = None
    reference: Path | None = None
    documents: Path | None = None
    megabytes: int | None = None
    """Size of the generated input, where no input is given; None: the bench's own."""
    repetitions: int = 3
    """How often each program runs."""
    model: str | None = None
    """lm, classifier: which sizes of a model."""
    steps: int | None = None
    """lm, classifier: measured steps per process; serve: requests; None: about half a minute's."""
    bundle: Path | None = None
    """serve: the classifier."""


@dataclass(frozen=True)
class Report:
    """What a bench found: a table for people, and one object a case."""

    table: str
    cases: Sequence[Mapping[str, Any]]


class Bench(Protocol):
    """What a module in BENCHES offers."""

    USES: frozenset[str]
    """Options that it looks at, besides `repetitions`."""

    def run(self, options: Options, folder: Path, log: Callable[[str], None]) -> Report:
        """Measure, with `folder` for temporary files; InputError for input that is no use."""


def bench(name: str, options: Options, log: Callable[[str], None]) -> Report:
    """Run the bench called `name`; `log` gets one line per run.

    Raises InputError for a wrong name or option.
    """
    if name not in BENCHES:
        raise InputError(f"there is no bench {name!r}; expected one of {', '.join(BENCHES)}")
    module = cast(Bench, importlib.import_module(BENCHES[name]))
    for option in ("dump", "reference", "documents", "megabytes", "model", "steps", "bundle"):
        if getattr(options, option) is not None and option not in module.USES:
            raise InputError(f"bench {name} has no use for {option}: leave {getattr(options, option)} out")
    with tempfile.TemporaryDirectory(prefix="ulmfit-bench-") as folder:
        report = module.run(options, Path(folder), log)
    return Report(report.table, [finite(case) for case in report.cases])


def finite(value: Any) -> Any:
    """Return JSON content with null where a number is infinite or none, such as a diverged loss."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value
