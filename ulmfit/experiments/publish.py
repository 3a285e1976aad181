"""Pages whose tables are made from committed records, or from presets, between marks.

    <!-- results: records -->              the tables of each record in the folder
    <!-- leaderboard: recipes/*/records --> one table of all records in these folders
    <!-- summary: recipes/*/records -->     the same, shorter: one row per task
    <!-- benchmarks: records -->           the outputs of `ulmfit bench --json` in the folder
    <!-- presets: published -->            the published presets with their sources
    <!-- recipes: . -->                    the list of all recipes in the folder

Each ends with `<!-- end of results -->` (or the other kind's name). Paths are relative to the page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.results import RECORD
from ulmfit.experiments.trial import is_trial
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import write_text
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import LOG

if TYPE_CHECKING:
    from ulmfit.evaluation.record import Record
    from ulmfit.report.leaderboard import Leaderboard, Source

EMPTY_PAGE = "<!-- results: records -->\n\n<!-- end of results -->\n"
MARKED = re.compile(
    r"<!-- (?P<kind>results|leaderboard|summary|benchmarks|presets|recipes): (?P<folder>\S+) -->"
    r".*?<!-- end of (?P=kind) -->",
    re.DOTALL,
)
PAGES = ("README.md", "recipes/README.md", "recipes/*/README.md", "benchmarks/README.md", "docs/*.md")
BOARD, BOARD_PAGE = "leaderboard.md", "leaderboard.html"


def publish(recipe: Recipe, runner: Runner, folder: Path, target: Path) -> list[Path]:
    """Copy a run's record and logs into `target/records`, and renew the tables made from them.

    The tables are in `target/README.md`, and in the READMEs one and two folders above if those have marks.
    """
    from ulmfit.evaluation.record import read_record, write_record

    record = read_record(folder / RECORD)
    _refuse_trial(record, folder / RECORD)
    name = recipe.run_name.rsplit("/", 1)[-1]
    records = target / "records"
    records.mkdir(parents=True, exist_ok=True)
    write_record(records / f"{name}.json", record)
    write_text(records / f"{name}.log", _joined_logs(recipe, runner))
    page, above = target / "README.md", target.resolve().parents[:2]
    if not page.exists():
        write_text(page, EMPTY_PAGE)
    fronts = [folder / "README.md" for folder in above]
    pages = [page, *(front for front in fronts if front.exists() and _is_marked(front))]
    for renewed in pages:
        write_text(renewed, with_tables(renewed.read_text(encoding="utf-8"), renewed))
    return [records / f"{name}.json", records / f"{name}.log", *pages]


def _refuse_trial(record: Record, path: Path) -> None:
    """Raise InputError for the record of a trial, which no published page may show."""
    if is_trial(record.configuration):
        raise InputError(f"{path} is of a trial, which is no result: publish a run without --trial")


def _joined_logs(recipe: Recipe, runner: Runner) -> str:
    parts = []
    for stage in runner.order(*recipe.stages().all()):
        path = runner.folder(stage) / LOG
        parts.append(
            f"== {stage.stage_name} {path.parent.name}\n{path.read_text(encoding='utf-8', errors='replace')}"
        )
    return "\n".join(parts)


def marked_pages(checkout: Path) -> list[Path]:
    """Return the pages of a checkout that have marks for tables."""
    found = [path for pattern in PAGES for path in sorted(checkout.glob(pattern))]
    return [path for path in found if _is_marked(path)]


def renew_pages(checkout: Path) -> list[Path]:
    """Renew the tables of all pages of a checkout; return the pages that changed.

    Raises InputError where there is no such page.
    """
    pages = marked_pages(checkout)
    if not pages:
        raise InputError(f"{checkout}: no page with marks for tables; expected a checkout with {PAGES[0]}")
    changed = []
    for page in pages:
        before = page.read_text(encoding="utf-8")
        if (after := with_tables(before, page)) != before:
            write_text(page, after)
            changed.append(page)
    return changed


def _is_marked(page: Path) -> bool:
    return MARKED.search(page.read_text(encoding="utf-8")) is not None


def with_tables(text: str, page: Path) -> str:
    """Return the text of `page` with the tables of committed records between its marks.

    Raises InputError when the page has no marks, and for a folder of no records or a malformed one.
    """
    if not MARKED.search(text):
        raise InputError(f"{page} has no place for tables: expected {EMPTY_PAGE!r}")

    def block(match: re.Match[str]) -> str:
        kind, folder = match["kind"], match["folder"]
        parts = [f"<!-- {kind}: {folder} -->", *BLOCKS[kind](folder, page), f"<!-- end of {kind} -->"]
        return "\n\n".join(parts)

    return MARKED.sub(block, text)


def _results(folder: str, page: Path) -> list[str]:
    from ulmfit.evaluation.record import read_record
    from ulmfit.report.markdown import GUIDE, escape, markdown_table

    parts, guide = [], _link(GUIDE, page)
    for path in sorted((page.parent / folder).glob("*.json")):
        record = read_record(path)
        _refuse_trial(record, path)
        links = f"[record]({folder}/{path.name}), [log]({folder}/{path.stem}.log)"
        origin = escape(f"{record.recipe}, preset {record.preset}")
        parts.append(f"**{escape(record.title)}** ({origin}; {links})")
        parts.append(markdown_table(record, guide).strip())
    return parts


def _link(file: str, page: Path) -> str:
    """Return the address of a file of the page's checkout, relative to the page; "" if it is elsewhere."""
    above = (folder for folder in page.resolve().parents if (folder / file).is_file())
    root = next(above, None)
    return os.path.relpath(root / file, page.resolve().parent).replace(os.sep, "/") if root else ""


def _leaderboard(folder: str, page: Path) -> list[str]:
    from ulmfit.report.leaderboard import markdown_leaderboard

    return [markdown_leaderboard(_board(_records(folder, page), page.parent)).strip()]


def _summary(folder: str, page: Path) -> list[str]:
    from ulmfit.report.summary import markdown_summary

    return [markdown_summary(_sources(_records(folder, page), page.parent)).strip()]


def _records(folder: str, page: Path) -> list[Path]:
    """Return the records in the folders that a page names; `folder` may have wildcards."""
    from ulmfit.evaluation.record import read_record

    records = [path for found in sorted(page.parent.glob(folder)) for path in sorted(found.glob("*.json"))]
    if not records:
        raise InputError(
            f"{page}: there is no record in {folder}: name folders of records, relative to the page"
        )
    for path in records:
        _refuse_trial(read_record(path), path)
    return records


def _benchmarks(folder: str, page: Path) -> list[str]:
    from ulmfit.report.benchmarks import benchmark_table

    if not (page.parent / folder).is_dir():
        raise InputError(f"{page}: {folder} is no folder: name the one of the measurements")
    return [benchmark_table(page.parent / folder, folder)]


def _presets(kind: str, page: Path) -> list[str]:
    from ulmfit.experiments.presets.markdown import presets_markdown

    if kind != "published":
        raise InputError(f"{page}: there are no presets called {kind!r}: expected published")
    return [presets_markdown()]


def _recipes(folder: str, page: Path) -> list[str]:
    from ulmfit.experiments.recipe_index import recipe_index

    return [recipe_index(page.parent / folder)]


BLOCKS: dict[str, Callable[[str, Path], list[str]]] = {
    "results": _results,
    "leaderboard": _leaderboard,
    "summary": _summary,
    "benchmarks": _benchmarks,
    "presets": _presets,
    "recipes": _recipes,
}


def write_leaderboard(records: Sequence[Path], folder: Path) -> str:
    """Write `leaderboard.md` and `leaderboard.html` of some records into `folder`; return the Markdown."""
    from ulmfit.report.leaderboard import html_leaderboard, markdown_leaderboard

    board = _board(records, folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown_leaderboard(board)
    write_text(folder / BOARD, text)
    write_text(folder / BOARD_PAGE, html_leaderboard(board))
    return text


def _board(records: Sequence[Path], folder: Path) -> Leaderboard:
    from ulmfit.report.leaderboard import leaderboard

    return leaderboard(_sources(records, folder))


def _sources(records: Sequence[Path], folder: Path) -> list[Source]:
    """Read records; links to them begin in `folder`."""
    from ulmfit.evaluation.record import read_record
    from ulmfit.report.leaderboard import Source

    def source(path: Path) -> Source:
        link = os.path.relpath(path.resolve(), folder.resolve()).replace(os.sep, "/")
        # In runs all records have one file name; the folder's name tells them apart.
        name = path.parent.name if path.name == RECORD else path.stem
        return Source(read_record(path), f"{_group(path)}{name}", quote(link), str(path))

    distinct: dict[Path, Path] = {}
    for path in records:
        distinct.setdefault(path.resolve(), path)
    return [source(path) for path in distinct.values()]


def _group(path: Path) -> str:
    """Return the folder of a recipe's language, with a slash; "" where a record lies elsewhere."""
    above = path.resolve().parent.parent
    return f"{above.name}/" if path.name == RECORD or path.parent.name == "records" else ""
