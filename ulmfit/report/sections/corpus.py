"""The page's section on a corpus: which pages were left out, figures of its documents, and some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ulmfit.corpus.card import CorpusAccount, CorpusFigures, Languages, SampleDocument
from ulmfit.pipeline.errors import InputError
from ulmfit.report.bars import Bar, bars_of_counts, share, width
from ulmfit.report.charts import Column, column_chart
from ulmfit.report.notes import leak_notes, leak_rule
from ulmfit.report.section import Material, Section
from ulmfit.report.table import Row, Table

MOST_BARS = 8
QUANTILES = {
    "0": "shortest",
    "0.25": "first quartile",
    "0.5": "median",
    "0.75": "third quartile",
    "1": "longest",
}
LANGUAGE_NAMES = {"und": "undecided", "zxx": "no language"}


@dataclass(frozen=True)
class Measured:
    """Figures of the documents of a corpus."""

    sizes: Table
    chart: Markup
    lengths: str
    scripts: list[Bar]
    languages: list[Bar]
    languages_note: str
    leftovers: Table


@dataclass(frozen=True)
class Corpus:
    """One corpus; `measured` is None where it was not measured."""

    account: CorpusAccount
    kept: str
    bars: list[Bar]
    parts: Table | None
    """What was taken of each part; None: the corpus is not joined."""
    measured: Measured | None
    samples: Sequence[SampleDocument]


@dataclass(frozen=True)
class CorpusSection:
    """What the section shows: the leak check, and every corpus."""

    leak_notes: list[str]
    leak_rule: str
    leaked: Sequence[str]
    """Ids of test texts that stand in the corpora."""
    corpora: list[Corpus]


def describe_corpora(material: Material) -> CorpusSection | None:
    """Prepare the corpora of a record; None if there are none.

    Raises InputError when there are samples of another number of corpora.
    """
    record, samples = material.record, material.samples
    if len(samples) > len(record.corpora):
        raise InputError(
            f"sample documents of {len(samples)} corpora do not fit a record of {len(record.corpora)}: "
            "expected one list per corpus, in the order of the record"
        )
    every: list[Sequence[SampleDocument]] = [*samples, *[()] * (len(record.corpora) - len(samples))]
    corpora = [describe_corpus(account, some) for account, some in zip(record.corpora, every, strict=True)]
    leaks = record.leaks
    if not corpora and leaks is None:
        return None
    return CorpusSection(
        leak_notes(record), leak_rule(leaks) if leaks else "", leaks.leaked if leaks else (), corpora
    )


def describe_corpus(account: CorpusAccount, samples: Sequence[SampleDocument]) -> Corpus:
    """Prepare one corpus."""
    return Corpus(
        account,
        kept=share(account.documents_written, account.pages_read),
        bars=_account_bars(account),
        parts=_parts(account) if account.parts else None,
        measured=_measured(account.figures) if account.figures else None,
        samples=samples,
    )


def _account_bars(account: CorpusAccount) -> list[Bar]:
    reasons = sorted(account.left_out.items(), key=lambda item: (-item[1], item[0]))
    most = max([account.documents_written, *account.left_out.values()])
    return [
        Bar(reason, f"{count:,}", width(count, most), share(count, account.pages_read))
        for reason, count in [("documents written", account.documents_written), *reasons]
    ]


def _parts(account: CorpusAccount) -> Table:
    words = sum(part.words for part in account.parts)
    return Table.of(
        ["part", "its documents", "taken", "words", "of all words"],
        [
            [
                part.source,
                f"{part.available:,}",
                f"{part.documents:,}",
                f"{part.words:,}",
                share(part.words, words),
            ]
            for part in account.parts
        ],
    )


def _measured(figures: CorpusFigures) -> Measured:
    languages, leftovers = figures.languages, figures.leftovers
    return Measured(
        sizes=_sizes(figures),
        chart=_chart(figures),
        lengths=_lengths(figures),
        scripts=bars_of_counts(figures.scripts, sum(figures.scripts.values()), MOST_BARS),
        languages=_language_bars(languages.found, languages.documents) if languages else [],
        languages_note=_languages_note(languages) if languages else "",
        leftovers=with_total(
            ["markup", "times", "per million words"],
            [[mark, f"{count:,}", _per_million(count, figures.words)] for mark, count in leftovers.items()],
            ["all of them", f"{(total := sum(leftovers.values())):,}", _per_million(total, figures.words)],
        ),
    )


def _languages_note(languages: Languages) -> str:
    return (
        f"Identified in a sample of {languages.documents:,} documents. The identifier knows "
        f"{languages.known} languages, and takes any other for a relative of it."
    )


def _sizes(figures: CorpusFigures) -> Table:
    names = ("documents", "words", "characters")
    lines = {split: [getattr(size, name) for name in names] for split, size in figures.splits.items()}
    totals = [sum(column) for column in zip(*lines.values(), strict=True)]
    return with_total(
        ["split", *names],
        [[split, *(f"{count:,}" for count in counts)] for split, counts in lines.items()],
        ["all", *(f"{count:,}" for count in totals)],
    )


def with_total(header: Sequence[str], lines: Sequence[Sequence[str]], total: Sequence[str]) -> Table:
    """Return a table whose last line is the sum of the others."""
    return Table(header, [*map(Row, lines), Row(total, "total")])


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


SECTION = Section("corpus", "Corpus", "corpus.html.j2", describe_corpora)
