"""XED: emotions in lines of film subtitles, any number of eight labels per line (Öhman et al. 2020).

From GitHub Helsinki-NLP/XED, folder Projections, at 76666d2; CC BY 4.0. Nothing is to be done by hand.

A line is `text TAB 1, 4`. The Turkish file begins with a header. In most files some lines were broken when
they were written: a text with an opening quotation mark, then lines of an alignment (paths of subtitles,
numbers, two texts) without labels. They are left out, 478 lines of the German file.

There is no published split. The fifth of the texts with the smallest hash becomes test, of each group of
labels as far as it is big enough; a tenth of the rest becomes valid in the same way. Lines that differ in
case and punctuation alone are one text there, or a tenth of test would stand in train. The published figures
were measured on other splits. The Turkish file has other labels than the published table counts (447 times
disgust, not 1,212). The counts below are those of the files; of the other languages the published table
differs by a few.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ulmfit.datasets.expected_counts import PUBLISHED, check_counts
from ulmfit.datasets.reading import read_lines
from ulmfit.datasets.script import main
from ulmfit.datasets.tables import split_off_validation
from ulmfit.errors import InputError

ASSETS = {"lines": "xed/pl"}
EMOTIONS = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
TEST_FRACTION, VALID_FRACTION = 0.2, 0.1
PATH = ".xml.gz"
"""In a text only where the lines of an alignment were written into it."""
COUNTS: dict[str, tuple[int, ...]] = {
    "cs": (1_728, 1_616, 807, 1_035, 1_044, 1_009, 1_106, 1_091),
    "de": (1_493, 1_304, 741, 788, 938, 890, 904, 905),
    "fi": (2_176, 2_010, 1_015, 1_282, 1_504, 1_244, 1_383, 1_448),
    "hr": (1_494, 1_409, 724, 979, 1_029, 948, 990, 1_053),
    "hu": (1_540, 1_379, 716, 926, 937, 900, 989, 1_029),
    "pl": (1_965, 1_706, 964, 1_120, 1_204, 1_118, 1_196, 1_220),
    "tr": (1_787, 1_130, 447, 1_339, 1_105, 1_141, 1_031, 1_499),
}
"""Lines with each emotion, in the order of EMOTIONS."""


def convert(
    files: Mapping[str, Path], language: str = "pl", counts: str = PUBLISHED
) -> dict[str, pd.DataFrame]:
    """Return train, valid and test; `language` says whose counts the file of lines is held against."""
    if language not in COUNTS:
        raise InputError(f"xed has no language {language!r} here: expected one of {', '.join(COUNTS)}")
    table = _table(files["lines"])
    expected = dict(zip(EMOTIONS, COUNTS[language], strict=True))
    check_counts({"all": table}, {"all": expected}, counts)
    rest, test = _split(table, TEST_FRACTION)
    train, valid = _split(rest, VALID_FRACTION)
    return {"train": train, "valid": valid, "test": test}


def _split(table: pd.DataFrame, fraction: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rest and the part; lines that differ in case and punctuation alone stay together."""
    forms = table["text"].map(lambda text: " ".join(re.findall(r"\w+", text.casefold())) or text)
    firsts = table.assign(text=forms).drop_duplicates("text").reset_index(drop=True)
    _, part = split_off_validation(firsts, fraction, "multi_label")
    chosen = forms.isin(set(part["text"]))
    return table[~chosen].reset_index(drop=True), table[chosen].reset_index(drop=True)


def _table(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        text, _, numbers = line.partition("\t")
        if re.fullmatch(r"[1-8](, ?[1-8])*", numbers) and text.strip() and PATH not in text:
            labels = sorted({EMOTIONS[int(digit) - 1] for digit in re.findall("[1-8]", numbers)})
            rows.append((f"line-{number:06d}", text, labels))
    if not rows:
        raise InputError(f"{path}: no line is a text, a tab, and numbers of emotions from 1 to 8")
    return pd.DataFrame(rows, columns=["id", "text", "label"])


if __name__ == "__main__":
    main(convert, ASSETS, language="pl", task="multi_label")
