"""The notes below the tables of a record: one line each, the most important first.

docs/numbers.md explains what they mean; a note has only the figures of the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit.corpus.checks.summary import DataCheckSummary
from ulmfit.corpus.checks.wording import sentences
from ulmfit.corpus.filters import LeakSummary
from ulmfit.evaluation.metric_text import FEW_TOKENS, METRIC_TITLES, PLAIN, shown_difference, shown_number
from ulmfit.evaluation.record import Record
from ulmfit.evaluation.significance import Comparison
from ulmfit.language_model.figures import LanguageModelResult, PolEvalResult
from ulmfit.tokens.unknown import LARGEST_UNKNOWN_SHARE

LARGEST_GAP = 0.03
"""Between validation and test, in the main metric; a larger one is pointed out. 0.01 is one point."""
NOISE_MARK = "†"
SEED_NOISE = "inside seed noise: other seeds could turn the difference round"


def result_notes(record: Record) -> list[str]:
    """Return the notes below the main table."""
    return [
        *difference_notes(record),
        *majority_notes(record),
        *leak_notes(record),
        *data_check_notes(record.data_checks),
        *gap_notes(record),
        *dataset_notes(record),
        *row_notes(record),
    ]


def compared_rows(record: Record) -> dict[str, Comparison]:
    """Return the comparisons in the main metric, by the row's name."""
    metric = record.dataset.metric if record.dataset else None
    return {one.row: one for one in record.comparisons if one.metric == metric}


def row_notes(record: Record) -> list[str]:
    """Return the remarks on rows."""
    return [f"{row.name}: {note}" for row in record.rows for note in row.notes]


def difference_notes(record: Record) -> list[str]:
    """Return the remarks on differences from the reference row."""
    compared = compared_rows(record).values()
    notes = [f"{NOISE_MARK} {SEED_NOISE}"] if any(one.within_seed_noise for one in compared) else []
    return notes + _unknown_noise(record, [one for one in compared if one.within_seed_noise is None])


def gap_notes(record: Record) -> list[str]:
    """Count the rows in which validation and test are more than LARGEST_GAP apart, above and below."""
    if record.dataset is None:
        return []
    metric = record.dataset.metric
    gaps = [
        (row.valid_metrics[metric].mean - row.metrics[metric].mean, row.name)
        for row in record.rows
        if metric in row.valid_metrics
    ]
    points = f"{LARGEST_GAP:g}" if metric in PLAIN else f"{100 * LARGEST_GAP:g} points"
    notes = []
    for side, sign in (("above", 1), ("below", -1)):
        if far := [(gap, name) for gap, name in gaps if sign * gap > LARGEST_GAP]:
            gap, name = max(far, key=lambda one: sign * one[0])
            notes.append(
                f"validation is more than {points} {side} test in {len(far)} of {len(gaps)} rows, most in "
                f"{name} ({shown_difference(metric, gap)})"
            )
    return notes


def majority_notes(record: Record) -> list[str]:
    """Name the rows that may be no better than always predicting the most frequent label."""
    from ulmfit.classifier.metrics import majority_score

    data = record.dataset
    gold = next(([sum(line) for line in row.confusion[0]] for row in record.rows if row.confusion), None)
    if data is None or not gold or not sum(gold):
        return []
    positive = data.labels.index(data.positive_label) if data.positive_label else None
    least = majority_score(data.metric, gold, positive)
    rows = [(row.name, row.metrics[data.metric].interval) for row in record.rows]
    poor = [name for name, interval in rows if interval and interval[0] <= least]
    shown = f"{METRIC_TITLES[data.metric]} {shown_number(data.metric, least)}"
    return (
        [f"not clearly better than always the most frequent label ({shown}): {'; '.join(poor)}"]
        if poor
        else []
    )


def _unknown_noise(record: Record, unknown: Sequence[Comparison]) -> list[str]:
    """Name the trained rows whose single run leaves the noise of some differences unknown."""
    single = {row.name for row in record.rows if row.runs == 1 and row.kind != "baseline"}
    if reference := next((one.reference for one in unknown if one.reference in single), None):
        return [f"seed noise of every difference unknown, the reference has a single run: {reference}"]
    names = [one.row for one in unknown if one.row in single]
    return [f"seed noise unknown, a trained row has a single run: {'; '.join(names)}"] if names else []


def language_model_notes(record: Record) -> list[str]:
    """Return the remarks below the language models' table, PolEval's perplexity among them."""
    return [*comparability_notes(record.language_models), *map(_poleval_note, record.poleval)]


def comparability_notes(models: Sequence[LanguageModelResult]) -> list[str]:
    """Return what an asterisk means, and how many unknown tokens the figures without one have."""
    marked = [model.unknown_share for model in models if model.has_many_unknown]
    few = [model.unknown_share for model in models if model.unknown_tokens and not model.has_many_unknown]
    limit = f"(limit {100 * LARGEST_UNKNOWN_SHARE:g})"
    notes = []
    if marked:
        notes.append(f"* not comparable: {_per_hundred(marked)} unknown tokens per 100 words {limit}")
    if few:
        notes.append(f"without *: {_per_hundred(few)} unknown tokens per 100 words {limit}")
    if any(model.tokens < FEW_TOKENS for model in models):
        notes.append(f"≈ rough: fewer than {FEW_TOKENS:,} tokens were scored, and a few words decide")
    if any(model.rare_words_replaced for model in models):
        notes.append("* not comparable: rare words of the texts were replaced by a mark")
    return notes


def _per_hundred(shares: Sequence[float]) -> str:
    low, high = (f"{100 * share:.2g}" for share in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"


def _poleval_note(result: PolEvalResult) -> str:
    perplexity = result.poleval_2018_word_perplexity
    shown = "beyond a float" if perplexity is None else f"{perplexity:,.2f}"
    model, replaced = f"{result.name}, {result.direction}", 100 * result.replaced_words / result.words
    return f"PolEval-2018 word perplexity of {model}: {shown}, with {replaced:.2f} % of the words replaced"


def leak_notes(record: Record) -> list[str]:
    """Return what a leak check found, on one line; nothing without a check."""
    leaks = record.leaks
    if leaks is None:
        return []
    texts = f"{len(leaks.leaked) or 'none'} of {leaks.checked:,} test texts"
    verb = "stand" if len(leaks.leaked) > 1 else "stands"
    parts = [f"leak check: {texts} {verb} in the pretraining corpus"]
    if leaks.leaked:
        parts.append(_fate(leaks))
    if leaks.too_short:
        parts.append(f"{leaks.too_short:,} were too short to be searched")
    return ["; ".join(parts)]


def leak_rule(leaks: LeakSummary) -> str:
    """Return what counts as a leak."""
    return (
        f"at least {100 * leaks.min_share:g} % of a text's {leaks.ngram_words}-word n-grams in one document"
    )


def _fate(leaks: LeakSummary) -> str:
    if not leaks.removed:
        return f"documents that hold one: {leaks.documents:,}, left in"
    if leaks.removed < leaks.documents:
        return f"documents that hold one: {leaks.documents:,}, of which {leaks.removed:,} were removed"
    return f"documents that hold one: {leaks.documents:,}, removed"


def dataset_notes(record: Record) -> list[str]:
    """Return what was lost or changed when the data set was read, one line per warning."""
    return [f"data set: {warning}" for warning in record.dataset.warnings] if record.dataset else []


def data_check_notes(summary: DataCheckSummary | None) -> list[str]:
    """Return one line on what the checks found, and one on what was left out, if anything."""
    if summary is None:
        return []
    dropped = [
        f"{split} {sum(reasons.values()):,} ("
        + ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in reasons.items())
        + ")"
        for split, reasons in summary.dropped.items()
    ]
    notes = [f"left out of the data: {', '.join(dropped)}"] if dropped else []
    if found := sentences(summary):
        first = next((line for line in found if line.startswith("test: texts that stand in train")), found[0])
        more = f"; {len(found) - 1} more findings in the record" if len(found) > 1 else ""
        notes.append(f"data check: {first}{more}")
    return notes
