"""`ulmfit bench extract --reference`: the texts of all engines beside references made by hand."""

from __future__ import annotations

import html
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from ulmfit.bench.compare import Comparison, Log, Measured, aligned
from ulmfit.bench.measure import Program, finished
from ulmfit.bench.reference import Reference, Score, load_references, score, word_hashes, words
from ulmfit.bench.run import Report
from ulmfit.pipeline import provenance
from ulmfit.pipeline.errors import InputError

LEFTOVERS = ("[[", "{{", "||", "<ref", "&amp;")
LEFTOVER_UNIT = "a million words"
RAW = "wikiextractor"

Texts = Iterator[tuple[str, str, str]]
"""Id, title and text of every document."""


@dataclass
class Leftovers:
    """Markup that was left in texts, and the words of these texts."""

    counts: Counter[str] = field(default_factory=Counter)
    words: int = 0

    def count(self, text: str) -> None:
        """Add what is left over in `text`."""
        self.words += len(words(text))
        self.counts.update({marker: text.count(marker) for marker in LEFTOVERS})

    def by_marker(self) -> dict[str, float]:
        """Return the number per million words of each marker."""
        return {marker: round(self.per_million(marker), 1) for marker in LEFTOVERS}

    def per_million(self, marker: str = "") -> float:
        """Return the number per million words of one marker or of all."""
        number = self.counts[marker] if marker else self.counts.total()
        return 1e6 * number / max(self.words, 1)


@dataclass
class EngineResult:
    """The texts that an engine made of the pages with references (by name), and of their whole dumps."""

    scores: dict[str, Score] = field(default_factory=dict)
    on_pages: Leftovers = field(default_factory=Leftovers)
    on_dumps: Leftovers = field(default_factory=Leftovers)

    @property
    def total(self) -> Score:
        """The score over the words of all pages."""
        return sum(self.scores.values(), Score())

    def mean(self) -> tuple[float, float]:
        """Return the means of the pages' recall and precision: every page counts the same."""
        pages = self.scores.values()
        return fmean(page.recall for page in pages), fmean(page.precision for page in pages)


def run(dumps: Path, folder: Path, log: Log) -> Report:
    """Extract every dump that a reference names, with each engine, and compare; raises InputError."""
    references = load_references()
    for reference in references:
        if not (dumps / reference.dump).is_file():
            raise InputError(
                f"{dumps} has no {reference.dump}: expected the folder of the dumps of the references"
            )
    results = {}
    for name, read in engines().items():
        log(f"extracting with {name}")
        results[name] = _evaluated(read, references, dumps, folder)
    return report(results)


def engines() -> dict[str, Callable[[Path, Path], Texts]]:
    """Return functions of a dump and an empty folder, by the engine's name; stock comes first."""
    return {
        RAW: _raw_texts,
        "our wikiextractor engine": lambda dump, out: _our_texts(dump, out, "wikiextractor"),
        "our fast engine": lambda dump, out: _our_texts(dump, out, "fast"),
    }


def _evaluated(
    read: Callable[[Path, Path], Texts], references: Sequence[Reference], dumps: Path, folder: Path
) -> EngineResult:
    result = EngineResult()
    wanted = {(reference.dump, reference.page_id, reference.title): reference for reference in references}
    found = {}
    for dump in sorted({reference.dump for reference in references}):
        for page_id, title, text in read(dumps / dump, folder / "quality"):
            result.on_dumps.count(text)
            if reference := wanted.get((dump, page_id, title)):
                found[reference.name] = text
    for reference in references:
        text = found.get(reference.name, "")
        result.scores[reference.name] = score(reference.hashes, word_hashes(text))
        result.on_pages.count(text)
    return result


def wikiextractor_command(dump: Path, out: Path) -> tuple[str, ...]:
    """Return how a user starts wikiextractor on a dump."""
    return (sys.executable, "-P", "-m", "wikiextractor.WikiExtractor", str(dump), "-o", str(out), "--json")


def _raw_texts(dump: Path, folder: Path) -> Texts:
    """Yield what wikiextractor writes, as it stands; only the titles, which are escaped, are resolved."""
    program = Program(RAW, wikiextractor_command(dump.absolute(), Path("out")), lambda place, output: {})
    with finished(program, folder):
        for path in sorted((folder / "out").rglob("wiki_*")):
            for line in path.read_text(encoding="utf-8").splitlines():
                document = json.loads(line)
                yield document["id"], html.unescape(document["title"]), document["text"]


def _our_texts(dump: Path, folder: Path, engine: str) -> Texts:
    from ulmfit.corpus.extract import extract
    from ulmfit.corpus.stored import stored_documents

    extract(dump, folder, engine=engine, log=lambda _: None)
    for document in stored_documents(folder):
        yield document.id, document.title, document.text
    shutil.rmtree(folder)


# --- Output -------------------------------------------------------------------------------------------------


def report(results: Mapping[str, EngineResult]) -> Report:
    """Return the table of all pages and engines, and our engines beside wikiextractor as cases."""
    common = {"bench": "extract --reference", "machine": provenance.describe()}
    cases = [
        {**comparison.as_json(), **common}
        for name, result in results.items()
        if name != RAW
        for comparison in _comparisons(name, result, results[RAW])
    ]
    return Report(_table(results), cases)


def _comparisons(name: str, ours: EngineResult, stock: EngineResult) -> Iterator[Comparison]:
    pages = {"ours": _pages(ours), "stock": _pages(stock)}
    total, stock_total = ours.total, stock.total
    for what, one, other in (
        ("recall", total.recall, stock_total.recall),
        ("precision", total.precision, stock_total.precision),
    ):
        yield _comparison(f"{name}, word {what}", "share of words", one, other, pages)
    for where, left, stock_left in (
        ("pages", ours.on_pages, stock.on_pages),
        ("dumps", ours.on_dumps, stock.on_dumps),
    ):
        figures = {"ours": left.by_marker(), "stock": stock_left.by_marker()}
        case = f"{name}, leftovers on the {where}"
        yield _comparison(case, LEFTOVER_UNIT, left.per_million(), stock_left.per_million(), figures)


def _comparison(
    case: str, unit: str, ours: float, stock: float, figures: Mapping[str, Mapping[str, Any]]
) -> Comparison:
    one, other = (Measured(value, value, value) for value in (ours, stock))
    return Comparison(case, unit, one, other, smaller_is_better=unit == LEFTOVER_UNIT, figures=figures)


def _pages(result: EngineResult) -> dict[str, Any]:
    pages: dict[str, Any] = {
        name: {"recall": round(page.recall, 4), "precision": round(page.precision, 4), "words": page.expected}
        for name, page in result.scores.items()
    }
    recall, precision = result.mean()
    return {**pages, "mean": {"recall": round(recall, 4), "precision": round(precision, 4)}}


def _table(results: Mapping[str, EngineResult]) -> str:
    """Return recall and precision of every engine: one row per page, the totals, what is left over."""
    measures = (head for engine in results for head in (f"{engine}: recall", "precision"))
    rows: list[Sequence[str]] = [("page", "words", *measures)]
    names = list(next(iter(results.values())).scores)
    for name in names:
        pages = [result.scores[name] for result in results.values()]
        rows.append((name, str(pages[0].expected), *_percentages(_shares(page) for page in pages)))
    totals = [result.total for result in results.values()]
    number = f"{len(names)} pages"
    words_of_all = str(totals[0].expected)
    rows.append((f"all words of {number}", words_of_all, *_percentages(_shares(total) for total in totals)))
    means = (result.mean() for result in results.values())
    rows.append((f"mean of {number}", "", *_percentages(means)))
    return "\n".join([*aligned(rows), "", "left over per million words", *aligned(_leftover_rows(results))])


def _shares(score: Score) -> tuple[float, float]:
    return score.recall, score.precision


def _percentages(shares: Iterable[tuple[float, float]]) -> list[str]:
    return [f"{100 * share:.2f}" for pair in shares for share in pair]


def _leftover_rows(results: Mapping[str, EngineResult]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "words", *LEFTOVERS, "all")]
    for engine, result in results.items():
        for where, left in (("these pages", result.on_pages), ("their whole dumps", result.on_dumps)):
            counts = [left.per_million(marker) for marker in LEFTOVERS]
            numbers = (f"{number:.1f}" for number in (*counts, left.per_million()))
            rows.append((f"{engine}, {where}", str(left.words), *numbers))
    return rows
