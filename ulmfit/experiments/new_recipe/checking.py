"""The splits of a new data set, checked before anything is written; what was found, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ulmfit.corpus.checks.found import all_checks
from ulmfit.corpus.checks.rows import Row, labels_of
from ulmfit.corpus.checks.summary import summary_of
from ulmfit.corpus.checks.wording import sentences
from ulmfit.corpus.data_checks import CheckSettings
from ulmfit.datasets.fields import with_text
from ulmfit.datasets.tables import check_splits, split_off_test
from ulmfit.datasets.targets import LABELS, some
from ulmfit.experiments.new_recipe.columns import Guess
from ulmfit.experiments.new_recipe.files import RawTable
from ulmfit.experiments.new_recipe.writing import TEST_FRACTION
from ulmfit.pipeline.progress import Progress, say

FEWEST_TEXTS = 10
"""Training texts of a label below which little can be learnt about it."""
UNEVEN = 3
"""Times that the most frequent label may be as frequent as the rarest before accuracy says little."""
VALID_FRACTION = 0.1

Tables = Mapping[str, pd.DataFrame]


def checked_splits(raw: RawTable, test: RawTable | None, guess: Guess) -> tuple[Tables, list[str]]:
    """Return train, valid and test as a recipe will have them, and what is to be said of them.

    Raises InputError where they are no data set.
    """
    splits = {"train": _columns(raw, guess)}
    if test is not None:
        splits["test"] = _columns(test, guess)
    else:
        splits["train"], splits["test"] = split_off_test(
            splits["train"], TEST_FRACTION, guess.task, guess.label_separator
        )
    said: list[str] = []
    tables = check_splits(
        splits, VALID_FRACTION, said.append, task=guess.task, separator=guess.label_separator
    )
    rows = _rows(tables, guess)
    progress = Progress(len(rows), "texts", "checking", say)
    checks = all_checks(rows, CheckSettings().thresholds(), progress.advance)
    progress.close()
    return tables, [*_few(tables, guess), *said, *sentences(summary_of(checks))]


def metric_for(tables: Tables, guess: Guess) -> str:
    """Return the metric to rank by: macro F1 where the labels of one per text are uneven."""
    if guess.task == "regression":
        return "spearman"
    if guess.task == "multi_label":
        return "macro_f1"
    counts = Counter(tables["train"]["label"])
    return "macro_f1" if max(counts.values()) > UNEVEN * min(counts.values()) else "accuracy"


def label_counts(tables: Tables, guess: Guess) -> Counter[str]:
    """Return the texts with each label, all splits together; in regression there is none."""
    kind = LABELS[guess.task]
    return Counter(
        name for table in tables.values() for label in table["label"] for name in kind.names_of(label)
    )


def _columns(raw: RawTable, guess: Guess) -> pd.DataFrame:
    table = with_text(raw.table, guess.text, False, str(raw.path))
    wanted: dict[str, Any] = {"text": table["text"], "label": raw.table[guess.label]}
    if guess.id is not None:
        wanted["id"] = raw.table[guess.id]
    return pd.DataFrame(wanted)


def _rows(tables: Tables, guess: Guess) -> list[Row]:
    return [
        Row(split, str(name), text, None if guess.task == "regression" else labels_of(label))
        for split, table in tables.items()
        for name, text, label in zip(table["id"], table["text"], table["label"], strict=True)
    ]


def _few(tables: Tables, guess: Guess) -> list[str]:
    kind = LABELS[guess.task]
    counts = Counter(name for label in tables["train"]["label"] for name in kind.names_of(label))
    few = [f"{name} ({count})" for name, count in sorted(counts.items()) if count < FEWEST_TEXTS]
    if not few:
        return []
    return [f"labels with fewer than {FEWEST_TEXTS} training texts: {some(few)}; add texts, or join labels"]
