"""Files of a finished run that are JSON but not ours: no command ends in a traceback, nothing is mistaken."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_for_tests import RECIPE, ulmfit_here
from stages_for_tests import InventedCorpus, InventedDataset

from ulmfit.experiments import driver
from ulmfit.experiments.recipe import load_recipe
from ulmfit.experiments.results import FINGERPRINT, recorded_stages, rewrite
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.manifest import cache_entry, hashes_in_cache, read_manifest, write_manifest
from ulmfit.pipeline.runner import FinishedRunner, Runner

OPTIONS = ("--preset", "forward", "--seeds", "0")
NESTED = b'{"a":' * 400 + b"1" + b"}" * 400
WHOLE_FILES = (
    b"",
    b"{}",
    b"5",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a":' * 400 + b"1" + b"}" * 400,
)
REFERENCE = {"stage": "a", "key": []}
VALUES: tuple[Any, ...] = (None, -1, 1e308, "", "x", "\ud800", "../../x", [], {}, [[]], REFERENCE, True)


def places(content: Any) -> list[tuple[Any, Any]]:
    """Return every container of a JSON content with one of its keys or indices."""
    items = list(content.items() if isinstance(content, dict) else enumerate(content))
    inner = [place for _, value in items if isinstance(value, (dict, list)) for place in places(value)]
    return [(content, key) for key, _ in items] + inner


def altered(original: bytes, chance: random.Random) -> bytes:
    """Return the bytes of a JSON file, damaged in one place or replaced."""
    kind = chance.choice(("flip", "cut", "whole", "value", "value", "delete", "rename"))
    if kind == "whole":
        return chance.choice(WHOLE_FILES)
    if kind == "cut":
        return original[: chance.randrange(len(original))]
    if kind == "flip":
        at, bit = chance.randrange(len(original)), 1 << chance.randrange(8)
        return original[:at] + bytes([original[at] ^ bit]) + original[at + 1 :]
    content = json.loads(original)
    if not (found := places(content)):
        return b"{}"
    container, key = chance.choice(found)
    value = container[key]
    if kind == "value" or isinstance(container, list):
        container[key] = chance.choice(VALUES)
    else:
        del container[key]
        if kind == "rename":
            container[f"{key}x"] = value
    return json.dumps(content).encode()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a small recipe."""
    runs = tmp_path_factory.mktemp("altered") / "runs"
    driver.run(load_recipe(str(RECIPE)).changed(preset="forward", seeds=(0,)), runs)
    stamped = runs / "corpus.txt"
    write_json(runs / "hashes.json", {str(stamped): cache_entry(str(stamped), [1, 2], "0" * 64)})
    return runs


@pytest.mark.parametrize(
    ("first", "count"), [(0, 24), pytest.param(24, 800, marks=pytest.mark.soak)], ids=["sample", "all"]
)
def test_no_altered_file_ends_a_command_in_a_traceback(
    first: int, count: int, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, (record,) = sorted(finished.rglob("*.json")), finished.rglob("record.json")
    same: tuple[Any, ...] = (RECIPE, *OPTIONS, "--runs", finished)
    commands = (
        ("plan", *same),
        ("status", *same),
        ("leaderboard", record, "--out", finished),
        ("report", *same, "--errors", 0),
        ("clean", "--runs", finished),
    )
    for seed in range(first, first + count):
        chance = random.Random(seed)
        path = chance.choice(files)
        original, status = path.read_bytes(), path.stat()
        path.write_bytes(altered(original, chance))
        try:
            for command in commands:
                monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
                code, _, errors = ulmfit_here(*command)
                where = f"seed {seed}, {path.relative_to(finished)}, {command[0]}: {code} {errors}"
                assert code in (0, 2), where
                assert len(errors.strip().splitlines()) == (code == 2), where
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ulmfit_here("report", RECIPE, *OPTIONS, "--errors", 0, "--runs", finished)[0] == 0


def flipped(path: Path) -> None:
    """Turn one bit in the middle of a file; its size and time of change stay."""
    content, status = path.read_bytes(), path.stat()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_report_is_made_of_no_altered_predictions(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "runs")
    runs = tmp_path / "runs"
    recipe = load_recipe(str(RECIPE)).changed(preset="forward", seeds=(0,))
    for path in runs.glob("stages/classifier/*/predictions-test.parquet"):
        flipped(path)
    message = (
        "predictions-test.parquet was altered since it was made: remove this folder and run the recipe again"
    )
    with pytest.raises(InputError, match=message):
        rewrite(recipe, FinishedRunner(runs), runs / recipe.run_name)


def test_a_manifest_is_one_whole_and_of_its_own_folder(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(InventedDataset())
    manifest = read_json(folder / "manifest.json")
    assert read_manifest(folder) == manifest
    for change in (
        {"seconds": 0.5},
        {"key": "0" * 16},
        {"stage": "tokens"},
        {"outputs": "0" * 64},
        {"commit": None},
        {"more": 1},
    ):
        write_json(folder / "manifest.json", {**manifest, **change})
        assert read_manifest(folder) is None, change
    for name in manifest:
        write_json(folder / "manifest.json", {key: value for key, value in manifest.items() if key != name})
        assert (read_manifest(folder) is None) == (name != "seal"), name
    other = folder.with_name("0" * 16)
    write_manifest(folder, manifest)
    shutil.copytree(folder, other)
    assert read_manifest(other) is None and read_manifest(folder) == manifest


@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
@pytest.mark.parametrize("content", ["{}", "5", "[", '{"documents": 7}'])
def test_an_altered_stage_is_built_again_and_said(
    name: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Runner(tmp_path).build(InventedCorpus())
    (folder / name).write_text(content, encoding="utf-8")
    assert Runner(tmp_path).fault(InventedCorpus()) == "manifest.json or config.json was altered"
    capsys.readouterr()
    Runner(tmp_path).build(InventedCorpus())
    line = "invented_corpus: manifest.json or config.json was altered; building it again"
    assert capsys.readouterr().out.splitlines()[0] == line
    assert Runner(tmp_path).is_done(InventedCorpus())


@pytest.mark.parametrize(
    "content", ["{}", "5", "[[1, 2]]", '[["a"]]', "[", '{"outputs": ["ab"]}', '{"outputs": {"a": 1}}']
)
def test_lists_that_protect_stages_from_clean_are_read_or_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / FINGERPRINT
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="run the recipe again, or remove the file if its stages may be"):
        recorded_stages(path)
    with pytest.raises(InputError, match="run the recipe again, or remove the file if its stages may be"):
        driver.listed_stages(path)


def test_an_altered_entry_of_the_cache_of_hashes_is_left_out() -> None:
    entry = cache_entry("/a", [1, 2], "ab" * 32)
    assert hashes_in_cache({"/a": entry}) == {"/a": entry}
    others: list[Any] = [
        entry[:3],
        [1, 3, *entry[2:]],
        [1, 2, "ac" * 32, entry[3]],
        {},
        None,
        5,
        [[], [], [], []],
    ]
    assert [hashes_in_cache({"/a": one}) for one in others] == [{}] * len(others)
    assert hashes_in_cache({"/b": entry}) == hashes_in_cache([entry]) == hashes_in_cache(5) == {}
