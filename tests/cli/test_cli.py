"""The commands on a finished run, on several at once, and on one that is stopped."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_for_tests import ENVIRONMENT, RECIPE, start, ulmfit, ulmfit_here
from filelock import FileLock

from ulmfit.cli.options import Changes
from ulmfit.evaluation.record import read_record
from ulmfit.experiments.driver import remove, run, unused
from ulmfit.experiments.recipe import load_recipe
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.report.verdict import best_row
from ulmfit.training.precision import gpu_generations


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny recipe, both directions and two seeds."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    status, output, errors = ulmfit("run", RECIPE, "--runs", runs)
    assert status == 0, errors
    assert "ULMFiT, forward + backward" in output
    started = [line for line in output.splitlines() if ": started (" in line]
    assert started[0].endswith(f", stage 1 of {len(started)}")
    assert started[-1].endswith(f", stage {len(started)} of {len(started)}")
    assert len({line.split(": started (")[0] for line in started}) == len(started), "no two look alike"
    return runs


def test_a_run_ends_with_a_record_a_table_and_a_report(finished: Path) -> None:
    folder = finished / "test" / "tiny"
    record = read_json(folder / "record.json")
    names = [row["name"] for row in record["rows"]]
    assert names[:5] == [
        "ULMFiT, forward",
        "ULMFiT, backward",
        "ULMFiT, forward + backward",
        "ULMFiT, ensemble of 2 seeds",
        "from scratch, forward",
    ]
    assert len([name for name in names if name.startswith("TF-IDF")]) == 4
    runs = [len(row["metrics"]["accuracy"]["values"]) for row in record["rows"]]
    assert runs == [2, 2, 2, 1, 2, 1, 1, 1, 1, 2]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert record["leaks"]["checked"] + record["leaks"]["too_short"] == record["dataset"]["rows"]["test"]
    assert record["tokenizers"]["tokenizers"][0]["size"] <= 80
    assert record["data_checks"]["texts"] == {"train": 60, "valid": 60, "test": 60}
    assert record["corpora"][0]["documents_written"] > 0
    samples = json.loads(next(finished.glob("stages/corpus-card/*/samples.json")).read_text(encoding="utf-8"))
    assert samples and all(html.escape(sample["text"][:20]) in page for sample in samples)
    assert not any(sample["text"][:20] in json.dumps(record) for sample in samples), "a record holds no text"
    assert not list(finished.rglob("scratch")), "checkpoints are gone once a stage is done"


def test_the_task_is_learnt(finished: Path) -> None:
    """Labels that hang on one word in each text are learnt almost fully by every row."""
    record = read_json(finished / "test" / "tiny" / "record.json")
    means = {row["name"]: row["metrics"]["accuracy"]["mean"] for row in record["rows"]}
    assert means["ULMFiT, forward + backward"] > 0.8, means


def test_running_again_does_nothing_and_imports_no_torch(finished: Path) -> None:
    program = (
        "import sys, time; started = time.monotonic(); from ulmfit.experiments.recipe import load_recipe; "
        "from ulmfit.experiments.driver import run; from pathlib import Path; "
        f"run(load_recipe({str(RECIPE)!r}), Path({str(finished)!r})); "
        "heavy = {'torch', 'fastai', 'pandas', 'sklearn', 'sentencepiece'} & set(sys.modules); "
        "print('heavy:', sorted(heavy), time.monotonic() - started)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )
    assert "nothing to do" in done.stdout, done.stderr
    assert "heavy: []" in done.stdout


def test_plan_status_report_and_clean(finished: Path) -> None:
    status, output, _ = ulmfit("plan", RECIPE, "--runs", finished, "--quick")
    assert status == 0
    *stages, total = output.strip().splitlines()[1:]
    assert all("  done  " in line for line in stages)
    assert re.fullmatch(
        rf"total: {len(stages)} of {len(stages)} stages are done .*; nothing would run", total
    )
    assert "pretrain (backward) " in output and "finetune (backward, seed 1) " in output
    options = ("--quick", "--seeds", "2", "--set", "classifier.bptt=13")
    _, other, _ = ulmfit("plan", RECIPE, "--runs", finished, *options)
    remarks = {line.split("  ")[0].strip(): line for line in other.splitlines()}
    assert remarks["finetune (backward, seed 2)"].endswith("as stages like it took here")
    assert "finished trainings of this size" in remarks["classifier (forward, seed 2)"]
    assert "  done  " in remarks["pretrain (forward)"]
    assert " would run: ~" in other.splitlines()[-1] or " would run: ~" in other.splitlines()[-2]
    status, output, _ = ulmfit("status", RECIPE, "--runs", finished)
    assert status == 0
    assert " done " in output and "are left" not in output
    _, other, _ = ulmfit("status", RECIPE, "--runs", finished, "--seeds", "2")
    assert re.search(r"\d+ of \d+ stages are left: about [\d:]+\n$", other)
    status, output, errors = ulmfit("report", RECIPE, "--runs", finished)
    assert status == 0, errors
    assert "ULMFiT, forward " in output
    assert ulmfit("clean", "--runs", finished, "--yes")[:2] == (0, "nothing to remove\n")


def test_runs_are_listed_and_their_folders_stand_for_recipe_and_options(finished: Path) -> None:
    folder = finished / "test" / "tiny"
    status, output, errors = ulmfit("runs", "--runs", finished)
    assert status == 0, errors
    blocks = output[output.index(f"{folder}  done, ") :].splitlines()
    assert blocks[1].startswith("    accuracy ") and "(ULMFiT, forward + backward)" in blocks[1]
    assert blocks[2] == f"    ulmfit run {RECIPE} --preset tiny --seeds 0,1 --runs {finished}"
    listed = json.loads(ulmfit("runs", "--runs", finished, "--json")[1])
    (own,) = [run for run in listed if run["folder"] == str(folder)]
    assert (own["state"], own["preset"], own["seeds"], own["trial"]) == ("done", "tiny", [0, 1], False)
    assert own["bytes"] > 1e5 and own["stages"] == own["stages_done"]
    for command in ("plan", "status", "report", "run"):
        status, output, errors = ulmfit(command, folder)
        assert status == 0, errors
    assert "nothing to do" in output
    status, output, errors = ulmfit("explain", folder, "--document", "test-0")
    assert status == 0 and "test-0: " in output, errors
    status, _, errors = ulmfit("plan", folder, "--seeds", "3")
    assert status == 2 and "which has its options: leave yours out" in errors
    status, output, errors = ulmfit("leaderboard", folder, "--out", folder.parent / "board")
    assert status == 0, errors


def test_clean_removes_what_no_recipe_names(finished: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    unused = runs / "stages" / "pretrain" / "0123456789abcdef"
    unused.mkdir(parents=True)
    (unused / "model.safetensors").write_bytes(b"x" * 100)
    _, output, _ = ulmfit_here("clean", "--runs", runs, "--older", "30d", "--yes")
    assert unused.exists()
    assert "nothing to remove" in output
    assert ulmfit_here("clean", "--runs", runs, "--yes")[0] == 0
    assert not unused.exists()


def test_clean_offers_what_a_recipe_asked_for_before_and_its_record_is_not_made_from(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "runs" / "test" / "tiny"
    for key in ("old", "recorded", "asked"):
        (runs / "stages" / "pretrain" / key).mkdir(parents=True)
    results.mkdir(parents=True)
    write_json(results / "stages.json", [["pretrain", "asked"]])
    write_json(results / "made-from.json", {"outputs": {"pretrain/recorded": "0" * 64}})
    _, output, _ = ulmfit_here("clean", "--runs", runs, "--yes")
    assert output.split("MB")[1].strip() == str(runs / "stages" / "pretrain" / "old")
    assert {path.name for path in (runs / "stages" / "pretrain").iterdir()} == {"recorded", "asked"}


def test_the_list_of_stages_is_that_of_the_latest_run(tmp_path: Path) -> None:
    recipe = load_recipe(str(RECIPE)).changed(preset="forward")
    lists = []
    for documents in (60, 61):
        changed = recipe.changed(corpus=recipe.corpus.changed(documents=documents))
        run(changed, tmp_path, until="invented_corpus")
        lists.append(read_json(tmp_path / "test" / "tiny-forward" / "stages.json"))
    corpora = [[key for name, key in one if name == "invented_corpus"] for one in lists]
    assert [len(keys) for keys in corpora] == [1, 1] and corpora[0] != corpora[1]
    (folder,) = [folder.name for folder, _ in unused(tmp_path, 0)]
    assert [folder] == corpora[0]


def test_clean_follows_no_link_out_of_the_runs_folder(tmp_path: Path) -> None:
    """Neither a folder of a stage nor one of a kind of stages: what they lead to is somebody else's."""
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    (runs / "stages" / "tokens").mkdir(parents=True)
    (elsewhere / "0123").mkdir(parents=True)
    for path in (elsewhere / "manifest.json", elsewhere / "0123" / "manifest.json"):
        path.write_text("{}")
    (runs / "stages" / "tokens" / "abcd").symlink_to(elsewhere)
    (runs / "stages" / "dump").symlink_to(elsewhere)
    (runs / "stages" / "tokens" / "gone").symlink_to(tmp_path / "nowhere")
    (runs / "stages" / "tokens" / "a-file").write_text("")
    _, output, errors = ulmfit_here("clean", "--runs", runs, "--yes")
    assert not errors
    left = [line.partition(" is a link or lies below one")[0] for line in output.splitlines()[:-1]]
    assert left == [str(runs / "stages" / "dump" / "0123"), str(runs / "stages" / "tokens" / "abcd")]
    assert output.endswith("nothing to remove\n")
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["0123", "manifest.json", "manifest.json"]
    # What becomes a link after it was listed is left alone as well.
    assert remove([runs / "stages" / "tokens" / "abcd"]) == []
    assert (elsewhere / "manifest.json").exists()


def test_clean_leaves_what_a_partial_run_built_and_what_is_being_built(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert ulmfit_here("run", RECIPE, "--runs", runs, "--until", "tokenizer")[0] == 0
    assert ulmfit_here("clean", "--runs", runs, "--yes")[1] == "nothing to remove\n"
    (runs / "test" / "tiny" / "stages.json").unlink()
    folder = next(runs.glob("stages/tokenizer/*"))
    with FileLock(runs / "locks" / f"tokenizer-{folder.name}.lock"):
        _, output, _ = ulmfit_here("clean", "--runs", runs, "--yes")
    assert "is being built; it was left alone" in output
    assert folder.exists()
    assert not list(runs.glob("stages/invented_corpus/*"))


def test_what_options_changed_has_a_record_of_its_own_that_says_so_and_repeats_it(finished: Path) -> None:
    plain = (finished / "test" / "tiny" / "record.json").read_bytes()
    options = ("--seeds", "0", "--set", "comparisons=[]")
    status, output, errors = ulmfit_here("run", RECIPE, "--runs", finished, *options)
    assert status == 0, errors
    (folder,) = (finished / "test").glob("tiny-changed-*")
    assert f"test/{folder.name}: what --seeds, --set changed has a folder of its own" in output
    assert "changed: comparisons=[]" in output and f"report: {folder / 'report.html'}" in output
    assert (finished / "test" / "tiny" / "record.json").read_bytes() == plain
    record = read_json(folder / "record.json")
    path = load_recipe(str(RECIPE)).reference
    same = f"ulmfit run {path} --preset tiny --seeds 0 --set 'comparisons=[]'"
    assert record["command"] == f"OMP_NUM_THREADS=1 {same}"
    repeat = ["run", RECIPE, *shlex.split(record["command"])[4:]]
    status, output, errors = ulmfit_here(*repeat, "--runs", finished)
    assert status == 0 and f"test/{folder.name}: nothing to do" in output, errors
    status, output, errors = ulmfit_here("report", RECIPE, "--runs", finished, *options)
    assert status == 0 and f"report: {folder / 'report.html'}" in output, errors
    assert record["hardware"]["threads"] == 1


def test_two_runs_are_compared_over_the_texts_that_both_predicted(finished: Path) -> None:
    options = ("--seeds", "0", "--set", "comparisons=[]")
    assert ulmfit("run", RECIPE, "--runs", finished, *options)[0] == 0
    one, other = finished / "test" / "tiny", next((finished / "test").glob("tiny-changed-*"))
    status, output, errors = ulmfit("compare", one, other)
    assert status == 0, errors
    assert '  settings.comparisons: without ["ensemble", "from_scratch", "tfidf", "with_tfidf"]' in output
    assert "  seeds: without [1]" in output
    assert "95 % over test texts [" in output and "not tested" not in output
    assert "only in the first: ULMFiT, ensemble of 2 seeds, from scratch, forward" in output
    found = json.loads(ulmfit("compare", one, other, "--json")[1])
    assert [row["row"] for row in found["rows"]] == [
        "ULMFiT, forward",
        "ULMFiT, backward",
        "ULMFiT, forward + backward",
    ]
    assert all(row["basis"] == "texts" and row["seeds"] == [2, 1] for row in found["rows"])
    assert all(0 < row["p"] <= 1 for row in found["rows"])
    _, output, _ = ulmfit("compare", one / "record.json", one)
    assert "settings: the same" in output and "may be chance" in output


def test_options_that_repeat_the_recipe_are_no_change() -> None:
    recipe = load_recipe(str(RECIPE))
    assert Changes("tiny", [], "0,1").of(recipe).run_name == "test/tiny"
    assert Changes("forward", [], "0,1").of(recipe).run_name == "test/tiny-forward"
    changed = [Changes(seeds=seeds).of(recipe).run_name for seeds in ("0", "1", "1,0")]
    changed += [Changes(train_sizes="10").of(recipe).run_name]
    changed += [Changes(label_noise="0.1").of(recipe).run_name]
    changed += [Changes(overrides=["pretrain.bptt=13"]).of(recipe).run_name]
    assert len(set(changed)) == 6
    assert all(name.startswith("test/tiny-changed-") for name in changed)


def test_a_recipe_is_named_by_what_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_recipe("toy/sentiment").reference == "recipes/toy/sentiment.py"
    copy = tmp_path / "mine" / "copy.py"
    copy.parent.mkdir()
    copy.write_text(RECIPE.read_text("utf-8").replace("test/tiny", "toy/sentiment"), encoding="utf-8")
    assert load_recipe(str(copy)).changed(seeds=(5,)).reference == "copy.py", "no path of a machine"
    monkeypatch.chdir(tmp_path)
    assert load_recipe(str(copy)).reference == load_recipe("mine/copy.py").reference == "mine/copy.py"
    monkeypatch.chdir(RECIPE.parent)
    way_up = os.path.relpath(copy)
    assert load_recipe(way_up).reference == way_up


@pytest.mark.skipif(bool(gpu_generations()), reason="there is a GPU")
def test_a_gpu_that_is_not_here_is_refused_first_and_changes_nothing_that_is_done(
    finished: Path, tmp_path: Path
) -> None:
    device = ("--set", "pretrain.device=cuda")
    status, _, errors = ulmfit_here("run", RECIPE, "--runs", tmp_path, *device)
    assert (status, errors.count("\n")) == (2, 1)
    assert "device 'cuda': torch finds no GPU here" in errors
    assert not list(tmp_path.glob("*/*")), "nothing is built before, and no list of stages is left"
    status, output, errors = ulmfit_here("run", RECIPE, "--runs", finished, *device, "--until", "pretrain")
    assert status == 0, errors
    assert "device cuda changes nothing for 2 stages that a CPU has finished: pretrain" in output


def test_publish_writes_record_log_and_table(finished: Path, tmp_path: Path) -> None:
    status, _, errors = ulmfit_here("report", RECIPE, "--runs", finished, "--publish", tmp_path)
    assert status == 0, errors
    assert (tmp_path / "records" / "tiny.json").exists()
    assert "== pretrain" in (tmp_path / "records" / "tiny.log").read_text(encoding="utf-8")
    best = best_row(read_record(tmp_path / "records" / "tiny.json"))
    name = "**ULMFiT, forward**" if best is not None and best.name == "ULMFiT, forward" else "ULMFiT, forward"
    assert f"| {name} |" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_report_of_several_recipes_has_a_leaderboard(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(RECIPE.read_text("utf-8").replace('"test/tiny"', '"test/other"'), encoding="utf-8")
    status, output, errors = ulmfit_here("report", RECIPE, other, "--runs", finished)
    assert status == 0, errors
    assert sum(line.startswith("report: ") for line in output.splitlines()) == 2
    assert "leaderboard: " in output
    board = (finished / "leaderboard.md").read_text("utf-8")
    assert "[test/tiny](test/tiny/record.json)" in board and "[test/other](test/other/record.json)" in board
    assert board.count("| ULMFiT, forward (tiny) |") == 1, "equal stages of two recipes are one model"
    status, _, errors = ulmfit_here("report", RECIPE, other, "--runs", finished, "--publish", tmp_path)
    assert status == 2 and "expected one recipe, not 2" in errors
    record = finished / "test" / "tiny" / "record.json"
    status, output, errors = ulmfit_here("leaderboard", record, "--out", tmp_path / "out")
    assert status == 0, errors
    assert (tmp_path / "out" / "leaderboard.html").exists()


def weights(runs: Path) -> dict[str, str]:
    """Return the sha256 of all weights, by stage and key."""
    manifests = {path.parent: read_json(path)["files"] for path in runs.glob("stages/*/*/manifest.json")}
    return {
        f"{folder.parent.name}/{folder.name}": files["model.safetensors"]["sha256"]
        for folder, files in manifests.items()
        if "model.safetensors" in files
    }


def test_two_processes_share_one_set_of_stages(finished: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    processes = [
        start("run", RECIPE, "--preset", "forward", "--seeds", "0", "--runs", runs) for _ in range(2)
    ]
    results = [process.communicate(timeout=900) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    outputs = "".join(output for output, _ in results)
    stages = {path.parent for path in runs.glob("stages/*/*/manifest.json")}
    assert outputs.count(": started (") == len(stages), "every stage was built once"
    ours, theirs = weights(runs), weights(finished)
    assert ours
    assert all(theirs[name] == sha for name, sha in ours.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_goes_on(number: signal.Signals, code: int, finished: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    options = ("run", RECIPE, "--preset", "forward", "--seeds", "0", "--runs", runs, "--until", "pretrain")
    process = start(*options)
    deadline = time.monotonic() + 600
    while not list(runs.glob("stages/pretrain/*/scratch/checkpoints/step-*/state.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    _, output, _ = ulmfit("status", *options[1:-2])
    assert re.search(r"pretrain \(forward\) +\w+  stopped at \d+ % .*the same command goes on", output), (
        output
    )
    _, output, _ = ulmfit("runs", "--runs", runs)
    assert "  stopped, " in output
    assert ulmfit(*options)[0] == 0
    assert weights(runs).items() <= weights(finished).items()
