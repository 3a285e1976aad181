"""The page's section on a corpus: where its pages went, what its documents are, and some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ulmfit.evaluation.cards import CorpusFigures, Languages
from ulmfit.evaluation.record import CorpusAccount
from ulmfit.evaluation.record_part import RecordPart, Split, part_of
from ulmfit.report.bars import Bar, bars_of_counts, share, width
from ulmfit.report.charts import Column, column_chart

MOST_BARS = 8
QUANTILES = {
    "0": "shortest",
    "0.25": "first quartile",
    "0.5": "median",
    "0.75": "third quartile",
    "1": "longest",
}
LANGUAGE_NAMES = {"und": "undecided", "zxx": "no language"}


class SampleDocument(RecordPart):
    """The beginning of a document, which a page may show and a record may not."""

    id: str
    title: str
    split: Split
    words: int
    text: str


@dataclass(frozen=True)
class Measured:
    """What the documents of a corpus are."""

    sizes: list[tuple[str, list[str]]]
    """Split; documents, words, characters."""
    chart: Markup
    lengths: str
    scripts: list[Bar]
    languages: list[Bar]
    languages_note: str
    leftovers: list[tuple[str, str, str]]
    """Markup, times, times per million words."""


@dataclass(frozen=True)
class Corpus:
    """One corpus; `measured` is None where nobody measured it."""

    account: CorpusAccount
    kept: str
    bars: list[Bar]
    measured: Measured | None
    samples: list[SampleDocument]


def describe_corpus(account: CorpusAccount, samples: Sequence[Any]) -> Corpus:
    """Prepare a corpus for the page; raises InputError when `samples` are no content of samples.json."""
    return Corpus(
        account,
        kept=share(account.documents_written, account.pages_read),
        bars=_account_bars(account),
        measured=_measured(account.figures) if account.figures else None,
        samples=[part_of(SampleDocument, sample, "sample documents") for sample in samples],
    )


def _account_bars(account: CorpusAccount) -> list[Bar]:
    reasons = sorted(account.left_out.items(), key=lambda item: (-item[1], item[0]))
    most = max([account.documents_written, *account.left_out.values()])
    return [
        Bar(reason, f"{count:,}", width(count, most), share(count, account.pages_read))
        for reason, count in [("documents written", account.documents_written), *reasons]
    ]


def _measured(figures: CorpusFigures) -> Measured:
    languages, leftovers = figures.languages, figures.leftovers
    rates = [*leftovers.items(), ("all of them", sum(leftovers.values()))]
    return Measured(
        sizes=_sizes(figures),
        chart=_chart(figures),
        lengths=_lengths(figures),
        scripts=bars_of_counts(figures.scripts, sum(figures.scripts.values()), MOST_BARS),
        languages=_language_bars(languages.found, languages.documents) if languages else [],
        languages_note=_languages_note(languages) if languages else "",
        leftovers=[(mark, f"{count:,}", _per_million(count, figures.words)) for mark, count in rates],
    )


def _languages_note(languages: Languages) -> str:
    return (
        f"Identified in a sample of {languages.documents:,} documents. The identifier knows "
        f"{languages.known} languages, and takes any other for a relative of it."
    )


def _sizes(figures: CorpusFigures) -> list[tuple[str, list[str]]]:
    names = ("documents", "words", "characters")
    lines = {split: [getattr(size, name) for name in names] for split, size in figures.splits.items()}
    totals = [sum(column) for column in zip(*lines.values(), strict=True)]
    return [
        (split, [f"{count:,}" for count in counts]) for split, counts in [*lines.items(), ("all", totals)]
    ]


def _chart(figures: CorpusFigures) -> Markup:
    columns = [
        Column(
            f"{part.fewest:,}",
            part.documents,
            f"{part.fewest:,} to {part.most:,} words: {part.documents:,} documents",
        )
        for part in figures.lengths.histogram
    ]
    return column_chart(
        columns, title="Histogram of document lengths", x_title="words, from", y_title="documents"
    )


def _lengths(figures: CorpusFigures) -> str:
    quantiles = figures.lengths.quantiles
    return ", ".join(f"{name} {quantiles[key]:,}" for key, name in QUANTILES.items() if key in quantiles)


def _language_bars(found: dict[str, int], documents: int) -> list[Bar]:
    named = {LANGUAGE_NAMES.get(code, code): count for code, count in found.items()}
    return bars_of_counts(named, documents, MOST_BARS)


def _per_million(count: int, words: int) -> str:
    return f"{1e6 * count / words:,.1f}" if words else "–"
