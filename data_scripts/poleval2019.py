"""PolEval 2019, task 6: harmful tweets in Polish (Ptaszynski et al. 2019), published train and test.

Zip archives of 2019.poleval.pl/task6; no licence is stated. Nothing is to be done by hand.

Task 6-1 has two labels, 0 (harmless) and 1 (harmful); task 6-2 three, 0, 1 (cyberbullying) and 2 (hate
speech). A file of texts and one of labels have a line for each tweet.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.published_archives import zip_members
from ulmfit.datasets.script import main
from ulmfit.errors import InputError

ASSETS = {"train": "poleval2019/train-6-1", "test": "poleval2019/test"}
COUNTS = {
    "6-1": {"train": {"0": 9_190, "1": 851}, "test": {"0": 866, "1": 134}},
    "6-2": {"train": {"0": 9_190, "1": 253, "2": 598}, "test": {"0": 866, "1": 25, "2": 109}},
}
TEST_FOLDERS = {"6-1": "task 01/", "6-2": "task 02/"}


def convert(files: Mapping[str, Path], task: str = "6-1", counts: str = PUBLISHED) -> dict[str, pd.DataFrame]:
    """Return train and test; `task` is 6-1 or 6-2, of which `train` has to be the archive."""
    if task not in COUNTS:
        raise InputError(f"poleval2019 has no task {task!r}: expected 6-1 or 6-2")
    tables = {
        "train": _table(files["train"], "", tuple(COUNTS[task]["train"])),
        "test": _table(files["test"], TEST_FOLDERS[task], tuple(COUNTS[task]["test"])),
    }
    check_counts(tables, COUNTS[task], counts)
    return tables


def _table(archive: Path, folder: str, labels: tuple[str, ...]) -> pd.DataFrame:
    texts, tags = (_lines(archive, folder, ending) for ending in ("only_text.txt", "only_tags.txt"))
    if len(texts) != len(tags):
        raise InputError(f"{archive}: {len(texts):,} texts and {len(tags):,} labels, expected as many")
    if other := [tag for tag in tags if tag not in labels]:
        raise InputError(f"{archive}: label {other[0]!r}, expected one of {', '.join(labels)}")
    return pd.DataFrame({"text": texts, "label": tags})


def _lines(archive: Path, folder: str, ending: str) -> list[str]:
    found = [
        content
        for name, content in zip_members(archive)
        if name.endswith(ending) and folder in name and not name.startswith("__MACOSX/")
    ]
    if len(found) != 1:
        raise InputError(f"{archive}: {len(found)} files {folder}*{ending}, expected one")
    lines = found[0].decode("utf-8").removeprefix("\ufeff").split("\n")
    return [line.strip() for line in (lines if lines[-1].strip() else lines[:-1])]


if __name__ == "__main__":
    main(convert, ASSETS, language="pl")
