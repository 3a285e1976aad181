"""Pages with tables from committed records: each is as its records say, and one command renews them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation.samples import made_up_record

from ulmfit.evaluation.record import write_record
from ulmfit.experiments.publish import marked_pages, renew_pages, with_tables, write_leaderboard
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import write_json

ROOT = Path(__file__).parents[2]
PAGES = marked_pages(ROOT)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_page_that_should_have_tables_has_marks_for_them() -> None:
    languages = {records.parent.name for records in ROOT.glob("recipes/*/records")}
    others = {"README.md", "recipes/README.md", "benchmarks/README.md", "docs/presets.md"}
    assert {f"recipes/{one}/README.md" for one in languages} | others <= set(map(name, PAGES)), (
        "a page of recipes needs <!-- results: records --> and <!-- end of results -->"
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tables_of_a_page_are_those_of_the_committed_records(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    assert with_tables(content, page) == content, "run `ulmfit pages`"


@pytest.mark.parametrize("records", sorted(ROOT.glob("recipes/*/records")), ids=name)
def test_every_committed_record_stands_on_a_page(records: Path) -> None:
    page = (records.parent / "README.md").read_text(encoding="utf-8")
    assert all(f"(records/{record.name})" in page for record in records.glob("*.json"))


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no place for tables"):
        with_tables("# Results\n", tmp_path / "README.md")


def checkout(tmp_path: Path) -> Path:
    """A checkout of one recipe's page, a front page with a leaderboard, a measurement, and the presets."""
    write_page(tmp_path / "README.md", "leaderboard", "recipes/*/records")
    write_page(tmp_path / "recipes" / "xx" / "README.md", "results", "records")
    write_page(tmp_path / "benchmarks" / "README.md", "benchmarks", "records")
    write_page(tmp_path / "docs" / "presets.md", "presets", "published")
    (tmp_path / "recipes" / "xx" / "records").mkdir()
    write_record(tmp_path / "recipes" / "xx" / "records" / "task.json", made_up_record())
    (tmp_path / "benchmarks" / "records").mkdir()
    shutil.copy(ROOT / "benchmarks" / "records" / "loader.jsonl", tmp_path / "benchmarks" / "records")
    return tmp_path


def write_page(path: Path, kind: str, folder: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"before\n<!-- {kind}: {folder} -->\nSTALE\n<!-- end of {kind} -->\nafter\n", encoding="utf-8"
    )


def test_the_command_renews_every_page_once(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    program = [sys.executable, "-m", "ulmfit", "pages", root]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 4
    assert renew_pages(root) == []
    front = (root / "README.md").read_text("utf-8")
    assert front.startswith("before\n<!--") and front.endswith("-->\nafter\n") and "STALE" not in front
    assert "[xx/task](recipes/xx/records/task.json)" in front
    assert "| `multifit` | 4 QRNN of 1550 | 15,000 pieces |" in (root / "docs" / "presets.md").read_text(
        "utf-8"
    )
    assert "| batches of 64 x 70 |" in (root / "benchmarks" / "README.md").read_text("utf-8")
    page = root / "recipes" / "xx" / "README.md"
    page.write_text(page.read_text("utf-8").replace("seeds", "seats"), encoding="utf-8")
    assert renew_pages(root) == [page]


def test_pages_that_cannot_be_made_say_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no page with marks for tables"):
        renew_pages(tmp_path)
    write_page(tmp_path / "README.md", "leaderboard", "nowhere/*")
    with pytest.raises(InputError, match="there is no record in nowhere"):
        renew_pages(tmp_path)
    write_page(tmp_path / "README.md", "presets", "secret")
    with pytest.raises(InputError, match="there are no presets called 'secret': expected published"):
        renew_pages(tmp_path)
    write_page(tmp_path / "README.md", "benchmarks", "nowhere")
    with pytest.raises(InputError, match="nowhere is no folder"):
        renew_pages(tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"machine": 3}', '{"machine": {}}'])
def test_a_malformed_measurement_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    root = checkout(tmp_path)
    path = root / "benchmarks" / "records" / "loader.jsonl"
    path.write_text(path.read_text("utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"loader\.jsonl, line 2: expected"):
        renew_pages(root)


def test_a_measurement_is_shown_as_it_was_recorded(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    case = {
        "case": "a | b",
        "ours": 12345.6,
        "stock": 0.5,
        "ratio": None,
        "unit": "token/s",
        "other_load_cores": {"ours": [0.1, None], "stock": [0.32]},
        "input": {"device": "NVIDIA X"},
        "machine": {"commit": "0123456789abcdef+changes", "hardware": {"processor": "P", "cores": 4}},
    }
    (root / "benchmarks" / "records" / "loader.jsonl").write_text(json.dumps(case) + "\n", encoding="utf-8")
    renew_pages(root)
    page = (root / "benchmarks" / "README.md").read_text("utf-8")
    cells = "12,346 | 0.5 | – | token/s | 0.32 | NVIDIA X; P, 4 cores | 0123456789ab+changes |"
    assert f"| [loader](records/loader.jsonl) | a \\| b | {cells}" in page


def test_a_leaderboard_of_runs_names_them_by_their_folders(tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / "runs" / "xx" / run).mkdir(parents=True)
        write_record(tmp_path / "runs" / "xx" / run / "record.json", made_up_record())
    records = [tmp_path / "runs" / "xx" / run / "record.json" for run in ("one", "two", "two")]
    text = write_leaderboard(records, tmp_path / "runs")
    assert "[xx/one](xx/one/record.json)" in text and "[xx/two](xx/two/record.json)" in text
    assert (tmp_path / "runs" / "leaderboard.md").read_text("utf-8") == text
    again = tmp_path / "runs" / ".." / "runs" / "xx" / "one" / "record.json"
    assert write_leaderboard([*records, again], tmp_path / "runs") == text
    assert 'href="xx/one/record.json"' in (tmp_path / "runs" / "leaderboard.html").read_text("utf-8")


def test_pages_and_leaderboards_of_records_in_the_old_form_are_the_same(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    path = root / "recipes" / "xx" / "records" / "task.json"
    renew_pages(root)
    board = write_leaderboard([path], root)
    write_json(path, json.loads(path.read_text("utf-8")))
    assert renew_pages(root) == []
    assert write_leaderboard([path], root) == board


def test_names_in_a_record_are_no_markup(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    hostile = made_up_record().changed(recipe="x)<script>", preset="<img src=x>", title="<b>")
    write_record(tmp_path / "records" / "task.json", hostile)
    page = with_tables("<!-- results: records -->\n\n<!-- end of results -->\n", tmp_path / "README.md")
    assert page.replace("\\<", "").count("<") == 2, "the marks alone"
