"""The list of all recipes: what was published, what was run here, and who can repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ulmfit.corpus.stages import Wikipedia
from ulmfit.evaluation.metric_text import METRIC_TITLES, shown_number
from ulmfit.evaluation.published import PublishedResult
from ulmfit.experiments.recipe import Recipe, load_recipe
from ulmfit.pipeline.assets import File, all_settings

if TYPE_CHECKING:
    from ulmfit.evaluation.record import Record, RowResult

FAMILIES = "families"
"""Folder of modules that several recipes share; they are no recipes."""
AVERAGED = "ULMFiT, forward + backward"
NONE = "–"
HEADER = (
    "| language | recipe | task | metric | published | ours | hardware | tokens read | repeatable |\n"
    "|---|---|---|---|--:|--:|---|--:|---|"
)


def recipe_files(folder: Path) -> list[Path]:
    """Return the files of all recipes in a folder of languages, sorted."""
    return sorted(path for path in folder.glob("*/*.py") if path.parent.name != FAMILIES)


def recipe_index(folder: Path) -> str:
    """Return the table of all recipes below `folder` as Markdown, one line per recipe."""
    from ulmfit.evaluation.record import read_record

    lines = [HEADER]
    for path in recipe_files(folder):
        recipe = load_recipe(str(path))
        records = [read_record(record) for record in sorted((path.parent / "records").glob("*.json"))]
        lines.append(_line(recipe, [record for record in records if record.recipe == recipe.name]))
    return "\n".join(lines)


def _line(recipe: Recipe, records: list[Record]) -> str:
    from ulmfit.report.markdown import escape

    metric = recipe.dataset.metric if recipe.dataset else "word_perplexity"
    cells = (
        recipe.language,
        f"[{recipe.name}]({recipe.name}.py)",
        escape(recipe.title),
        METRIC_TITLES[metric],
        escape(_published(recipe, metric)),
        escape(_each(_ours(record, metric) for record in records)),
        escape(_each(_hardware(record) for record in records)),
        escape(_each(_tokens_read(record) for record in records)),
        escape(_repeatable(recipe)),
    )
    return f"| {' | '.join(cells)} |"


def _each(texts) -> str:
    """Return the distinct texts of several records, or a dash where nothing was run."""
    return "; ".join(dict.fromkeys(texts)) or NONE


def _published(recipe: Recipe, metric: str) -> str:
    """Return the best published figure of the main metric; figures read in their source come first."""
    results = [result for result in recipe.published if result.metric == metric]
    results = [result for result in results if result.verified] or results
    if not results:
        return NONE

    def goodness(result: PublishedResult) -> float:
        return -result.value if metric.endswith("perplexity") else result.value

    best = max(results, key=goodness)
    return f"{shown_number(metric, best.value)} ({best.name}{'' if best.verified else ', unverified'})"


def _ours(record: Record, metric: str) -> str:
    """Return the figure of both directions averaged, where they were trained, else of the first row."""
    if record.rows:
        row: RowResult = next((row for row in record.rows if row.name == AVERAGED), record.rows[0])
        return f"{shown_number(metric, row.metrics[metric].mean)} ({record.preset})"
    model = next((model for model in record.language_models if model.split == "test"), None)
    if model is None or model.word_perplexity is None:
        return NONE
    return f"{shown_number(metric, model.word_perplexity)} ({record.preset})"


def _hardware(record: Record) -> str:
    hardware = record.hardware
    if hardware.get("device") == "cpu":
        return f"{hardware.get('cores')} CPU cores"
    return str(hardware.get("gpu") or hardware.get("device"))


def _tokens_read(record: Record) -> str:
    """Return the tokens that pretraining read, all epochs together, in one direction."""
    model = next((model for model in record.language_models if model.name == "pretrained"), None)
    return f"{model.training_tokens / 1e6:.1f} M" if model and model.training_tokens else NONE


def needs(recipe: Recipe) -> list[str]:
    """Return what a recipe needs that cannot simply be downloaded; empty: it can be repeated as it is."""
    files = all_settings(recipe, File)
    by_hand = sorted({file.source for file in files if file.path is not None and file.source})
    mirrored = sorted({file.name for file in files if file.path is None and not file.address})
    return [*(f"files by hand ({how})" for how in by_hand), *(f"a mirror with {name}" for name in mirrored)]


def _repeatable(recipe: Recipe) -> str:
    if needed := needs(recipe):
        return f"needs {'; '.join(needed)}"
    return "yes, on a dump of its day" if all_settings(recipe, Wikipedia) else "yes"
