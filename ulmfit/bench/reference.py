"""The words that a person reads on some pages, kept as hashes, and a comparison of texts with them.

A word is a longest run of letters, marks and numbers (Unicode categories L, M, N), with its capitals, in
composed form (NFC); every Han character and every kana is a word of its own. The repository holds no texts:
`python -m ulmfit.bench.reference TEXTS DUMPS` turns texts made by hand into reference files.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import write_text

REFERENCES = Path(__file__).parent / "references"
HASH_BYTES = 3
_HAN_OR_KANA = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U000323af]"
)


@dataclass(frozen=True)
class Reference:
    """One page: `dump` is a path below the folder of the dumps, `hashes` has one entry per word, in order."""

    wiki: str
    dump: str
    page_id: str
    title: str
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Wiki and id of the page, as in the file's name."""
        return f"{self.wiki}-{self.page_id}"


@dataclass(frozen=True)
class Score:
    """Words in common and in the same order, words of the reference, words of the text."""

    matched: int = 0
    expected: int = 0
    found: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(self.matched + other.matched, self.expected + other.expected, self.found + other.found)

    @property
    def recall(self) -> float:
        """Share of the reference's words that the text has; 1 where there are none."""
        return self.matched / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        """Share of the text's words that the reference has; 1 where there are none."""
        return self.matched / self.found if self.found else 1.0


def words(text: str) -> list[str]:
    """Return the words of `text`, as this module defines them."""
    return "".join(map(_spaced, unicodedata.normalize("NFC", text))).split()


@lru_cache(maxsize=100_000)
def _spaced(character: str) -> str:
    if unicodedata.category(character)[0] not in "LMN":
        return " "
    return f" {character} " if _HAN_OR_KANA.match(character) else character


def word_hashes(text: str) -> tuple[str, ...]:
    """Return a short hash of every word, in hexadecimal and in order."""
    return tuple(hashlib.blake2b(word.encode(), digest_size=HASH_BYTES).hexdigest() for word in words(text))


def score(expected: Sequence[str], found: Sequence[str]) -> Score:
    """Compare two sequences: how many items they have in common in the same order."""
    return Score(common_in_order(expected, found), len(expected), len(found))


def common_in_order(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    One row of the table of lengths is one integer; a bit that is 0 marks a place where the length grows
    (Crochemore et al. 2001, A fast and practical bit-vector algorithm for the longest common subsequence).
    """
    places: dict[str, int] = defaultdict(int)
    for position, item in enumerate(one):
        places[item] |= 1 << position
    everywhere = (1 << len(one)) - 1
    row = everywhere
    for item in other:
        met = row & places.get(item, 0)
        row = ((row + met) | (row - met)) & everywhere
    return len(one) - row.bit_count()


# --- Files --------------------------------------------------------------------------------------------------


def load_references(folder: Path = REFERENCES) -> list[Reference]:
    """Return the references that came along, sorted by wiki and page; InputError when one is damaged."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found.append(Reference(**{**content, "hashes": tuple(content["hashes"])}))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path} is no reference of a page ({error}): copy the file again") from error
    return found


def convert(text_file: Path, dumps: Path) -> Reference:
    """Return the reference of a text file `WIKI-PAGEID.txt`.

    Its first line names the dump below `dumps`, the second is the page's title, the others are the visible
    text, which the title is no part of. Raises InputError when there is no such page.
    """
    from ulmfit.corpus.dumps.reader import DumpReader, Page

    wiki, _, page_id = text_file.stem.rpartition("-")
    dump, title, text = text_file.read_text(encoding="utf-8").split("\n", 2)
    pages = (page for page in DumpReader(dumps / dump) if isinstance(page, Page))
    if not any((page.id, page.title) == (page_id, title) for page in pages):
        raise InputError(f"{text_file}: {dump} has no page with the id {page_id} and the title {title!r}")
    return Reference(wiki, dump, page_id, title, word_hashes(text))


def main(texts: Path, dumps: Path) -> None:
    """Turn every text in the folder `texts` into a reference file."""
    for path in sorted(texts.glob("*.txt")):
        reference = convert(path, dumps)
        content = json.dumps(asdict(reference), ensure_ascii=False)
        write_text(REFERENCES / f"{reference.name}.json", content + "\n")
        print(f"{reference.name}: {len(reference.hashes)} words")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
