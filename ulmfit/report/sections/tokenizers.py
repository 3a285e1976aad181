"""The page's section on tokenizers: a column each, on the same texts, and some of their pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ulmfit.pipeline.errors import InputError
from ulmfit.report.bars import share
from ulmfit.report.section import Section
from ulmfit.report.table import Row, Table
from ulmfit.tokens.card import (
    PieceLists,
    TextKind,
    TextSize,
    TokenCounts,
    TokenizerComparison,
    TokenizerFigures,
)

TEXT_TITLES = {
    "corpus": "validation documents of the corpus",
    "target": "train and valid texts of the task",
    "test": "test texts of the task, a check alone",
}

LENGTHS = {
    "tokens per text, median": "0.5",
    "tokens per text, 95 % have at most": "0.95",
    "tokens per text, longest": "1",
}


@dataclass(frozen=True)
class Tokenizers:
    """The table, and the pieces of each tokenizer where they are known."""

    table: Table
    pieces: list[tuple[str, PieceLists]]


def describe_tokenizers(comparison: TokenizerComparison, pieces: Sequence[PieceLists]) -> Tokenizers:
    """Prepare tokenizers for the page; raises InputError when `pieces` are not those of these tokenizers."""
    if pieces and len(pieces) != len(comparison.tokenizers):
        raise InputError(
            f"pieces of {len(pieces)} tokenizers do not fit a card of {len(comparison.tokenizers)}: "
            "expected pieces.json and card.json of one folder"
        )
    names = [f"{tokenizer.kind} {tokenizer.size:,}" for tokenizer in comparison.tokenizers]
    rows = [Row(["vocabulary"], "group"), *map(Row, _vocabulary_lines(comparison.tokenizers))]
    for kind, size in comparison.texts.items():
        rows.append(Row([_text_title(kind, size)], "group"))
        rows += map(Row, _text_lines(comparison.tokenizers, kind, size))
    return Tokenizers(Table(["", *names], rows), list(zip(names, pieces, strict=False)))


def _vocabulary_lines(tokenizers: Sequence[TokenizerFigures]) -> list[list[str]]:
    return [
        ["pieces, marks and special tokens", *(f"{one.size:,}" for one in tokenizers)],
        [
            "learned pieces that none of these texts uses",
            *(share(one.unused, one.learned) for one in tokenizers),
        ],
    ]


def _text_title(kind: str, size: TextSize) -> str:
    return f"{TEXT_TITLES[kind]}: {size.texts:,} texts, {size.words:,} words"


def _text_lines(tokenizers: Sequence[TokenizerFigures], kind: TextKind, size: TextSize) -> list[list[str]]:
    counts = [one.texts[kind] for one in tokenizers]

    def line(name: str, value: Callable[[TokenCounts], str]) -> list[str]:
        return [name, *map(value, counts)]

    lines = [
        line("tokens per word (fertility)", lambda count: _ratio(count.tokens, size.words)),
        line("characters per token", lambda count: _ratio(size.characters, count.tokens)),
        line("bytes per token", lambda count: _ratio(size.bytes, count.tokens)),
        line("words kept whole", lambda count: share(count.whole_words, count.bare_words)),
        line("unknown tokens", lambda count: share(count.unknown_tokens, count.tokens, 2)),
        line("words with an unknown token", lambda count: share(count.words_with_unknown, count.words, 2)),
    ]
    if any(count.byte_tokens for count in counts):
        lines.append(line("tokens that are single bytes", lambda c: share(c.byte_tokens, c.tokens, 2)))
    return [*lines, *(_length_line(name, key, counts) for name, key in LENGTHS.items())]


def _length_line(name: str, quantile: str, counts: Sequence[TokenCounts]) -> list[str]:
    lengths = [count.lengths.get(quantile) for count in counts]
    return [name, *("–" if length is None else f"{length:,}" for length in lengths)]


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"


SECTION = Section(
    "tokenizers",
    "Tokenizers",
    "tokenizers.html.j2",
    lambda material: (
        describe_tokenizers(material.record.tokenizers, material.pieces)
        if material.record.tokenizers
        else None
    ),
)
