"""The stage contract: keys, manifests, locks, rebuilding, and what a killed or failed build leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import ValidationError

from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import atomic_path, read_json, write_json, write_text
from ulmfit.pipeline.manifest import describe_file, outputs_hash, read_manifest, write_manifest
from ulmfit.pipeline.runner import Runner, first_difference, is_locked, lock_path
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings
from ulmfit.pipeline.stage import Stage, Work


class Options(Settings):
    """Nested settings."""

    depth: int = 1
    rates: tuple[float, ...] = (0.1, 0.2)


class Numbers(Stage):
    """Writes a number to a file, and how often it was built to another place."""

    stage_name: ClassVar[str] = "numbers"
    number: int = 3
    options: Options = Options()
    workers: Annotated[int, NOT_IN_KEY] = 2
    file: File | None = None
    seconds: Annotated[float, NOT_IN_KEY] = 0.0
    fails: Annotated[bool, NOT_IN_KEY] = False

    def build(self, work: Work) -> None:
        """Write `number.txt`."""
        counter = work.folder.parent.parent.parent / "builds.log"
        with counter.open("a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        if self.fails:
            raise InputError("it was told to fail")
        write_text(work.folder / "number.txt", f"{self.number}\n")


class Doubled(Stage):
    """Doubles the number of another stage."""

    stage_name: ClassVar[str] = "doubled"
    numbers: Numbers

    def build(self, work: Work) -> None:
        """Write `doubled.txt`."""
        number = int((work.input(self.numbers) / "number.txt").read_text())
        write_text(work.folder / "doubled.txt", f"{2 * number}\n")


def builds(runs: Path) -> int:
    path = runs / "builds.log"
    return len(path.read_text().splitlines()) if path.exists() else 0


def key(stage: Stage, runs: Path) -> str:
    return Runner(runs).keys.key(stage)


def test_upstream_is_built_first_and_nothing_twice(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(Doubled(numbers=Numbers(number=4)))
    assert (folder / "doubled.txt").read_text() == "8\n"
    assert Runner(tmp_path).build(Doubled(numbers=Numbers(number=4))) == folder
    assert builds(tmp_path) == 1
    manifest = read_json(folder / "manifest.json")
    assert set(manifest["files"]) == {"config.json", "doubled.txt"}
    assert list(manifest["upstream"]) == [f"numbers/{key(Numbers(number=4), tmp_path)}"]


def test_key_depends_on_what_can_change_the_result_and_on_nothing_else(tmp_path: Path) -> None:
    plain = key(Numbers(), tmp_path)
    assert key(Numbers(number=3, workers=9), tmp_path) == plain
    others = [Numbers(number=4), Numbers(options=Options(depth=2)), Numbers(options=Options(rates=(0.1,)))]
    keys = {key(stage, tmp_path) for stage in others}
    assert len(keys | {plain}) == 4
    assert key(Doubled(numbers=Numbers()), tmp_path) != key(Doubled(numbers=Numbers(number=4)), tmp_path)


def test_key_depends_on_a_files_content_not_on_its_path(tmp_path: Path) -> None:
    for name, content in (("a.txt", "same"), ("b.txt", "same"), ("c.txt", "other")):
        (tmp_path / name).write_text(content)
    a, b, c = (
        key(Numbers(file=File(path=tmp_path / name)), tmp_path) for name in ("a.txt", "b.txt", "c.txt")
    )
    assert a == b != c
    catalogued = File(name="z", sha256=Runner(tmp_path).keys.file_hash(File(path=tmp_path / "a.txt")))
    assert key(Numbers(file=catalogued), tmp_path) == a
    (tmp_path / "a.txt").write_text("changed")
    assert key(Numbers(file=File(path=tmp_path / "a.txt")), tmp_path) != b


def test_version_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(Numbers(), tmp_path)
    monkeypatch.setattr(Numbers, "stage_version", 2)
    assert key(Numbers(), tmp_path) != before


def begin_as(folder: Path, **fields: object) -> None:
    """Make a finished folder one that was begun with other fields: what an earlier version wrote."""
    manifest, config = read_manifest(folder), read_json(folder / "config.json")
    assert manifest is not None
    kept = {name: value for name, value in {**config, **fields}.items() if value is not None}
    write_json(folder / "config.json", kept)
    manifest["files"]["config.json"] = describe_file(folder / "config.json")
    write_manifest(folder, {**manifest, "outputs": outputs_hash(manifest["files"])})


def test_a_changed_default_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(Numbers())
    begin_as(folder, options={"kind": "Options", "depth": 7, "rates": [0.1, 0.2]})
    with pytest.raises(InputError, match=r"options\.depth = 7 \(now 1\)"):
        Runner(tmp_path).build(Numbers())


@pytest.mark.parametrize("damage", ["missing", "truncated", "no manifest"])
def test_damaged_results_are_built_again(damage: str, tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(Numbers())
    if damage == "missing":
        (folder / "number.txt").unlink()
    elif damage == "truncated":
        (folder / "number.txt").write_text("")
    else:
        (folder / "manifest.json").unlink()
    Runner(tmp_path).build(Numbers())
    assert builds(tmp_path) == 2
    assert (folder / "number.txt").read_text() == "3\n"


def test_altered_bytes_of_the_same_size_and_time_are_found_before_they_are_used(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(Numbers())
    status = (folder / "number.txt").stat()
    (folder / "number.txt").write_text("9\n")
    os.utime(folder / "number.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    doubled = Runner(tmp_path).build(Doubled(numbers=Numbers()))
    assert (doubled / "doubled.txt").read_text() == "6\n"


def test_a_copied_folder_is_still_good(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(Numbers())
    os.utime(folder / "number.txt", (1, 1))
    Runner(tmp_path).build(Numbers())
    assert builds(tmp_path) == 1


def test_a_rebuilt_upstream_with_another_result_rebuilds_what_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Doubled(numbers=Numbers())
    runner = Runner(tmp_path)
    runner.build(stage)
    (runner.folder(stage.numbers) / "number.txt").unlink()

    def another(self: Numbers, work: Work) -> None:
        write_text(work.folder / "number.txt", "50\n")

    monkeypatch.setattr(Numbers, "build", another)
    assert (Runner(tmp_path).build(stage) / "doubled.txt").read_text() == "100\n"


def test_a_failed_build_leaves_no_manifest_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Runner(tmp_path).build(Numbers(fails=True))
    folder = Runner(tmp_path).folder(Numbers())
    assert not (folder / "manifest.json").exists()
    assert "it was told to fail" in (folder / "failed.txt").read_text()
    Runner(tmp_path).build(Numbers())
    assert not (folder / "failed.txt").exists()


def _build(runs: Path, seconds: float) -> None:
    Runner(runs).build(Numbers(seconds=seconds))


def test_two_processes_build_one_stage_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build, args=(tmp_path, 0.5)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert builds(tmp_path) == 1


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_build, args=(tmp_path, 60))
    process.start()
    deadline = time.monotonic() + 20
    while builds(tmp_path) == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    Runner(tmp_path).build(Numbers())
    assert builds(tmp_path) == 2


def test_an_upstream_that_is_removed_at_the_end_of_a_build_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, stage = Runner(tmp_path), Doubled(numbers=Numbers())
    read = Doubled.build

    def removes(self: Doubled, work: Work) -> None:
        read(self, work)
        shutil.rmtree(work.input(self.numbers))

    monkeypatch.setattr(Doubled, "build", removes)
    folder = runner.build(stage)
    monkeypatch.setattr(Doubled, "build", read)
    made = (folder / "manifest.json").stat().st_mtime_ns
    assert Runner(tmp_path).build(stage) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == made


def test_an_upstream_that_is_removed_while_it_is_needed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, stage = Runner(tmp_path), Doubled(numbers=Numbers())
    read = Doubled.build

    def removes(self: Doubled, work: Work) -> None:
        shutil.rmtree(work.input(self.numbers))
        read(self, work)

    monkeypatch.setattr(Doubled, "build", removes)
    message = (
        "^doubled: the folder of numbers was removed while it was needed; the same command builds what is "
    )
    with pytest.raises(StageFailed, match=message):
        runner.build(stage)
    monkeypatch.setattr(Doubled, "build", read)
    assert (Runner(tmp_path).build(stage) / "doubled.txt").read_text() == "6\n"


def test_whether_a_stage_is_locked_is_seen_without_writing(tmp_path: Path) -> None:
    """So that `status` works where runs and locks are another user's."""
    runner = Runner(tmp_path)
    folder = runner.folder(Numbers())
    assert not is_locked(folder) and not (tmp_path / "locks").exists()
    with runner.lock(Numbers()):
        path = lock_path(folder)
        path.chmod(0o444)
        assert is_locked(folder)
    assert not is_locked(folder)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="batchsize"):
        Numbers(batchsize=3)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "x.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "x.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_keys_are_stable_between_releases(tmp_path: Path) -> None:
    """A change here throws away everybody's finished stages: it has to be meant."""
    assert key(Numbers(), tmp_path) == "d97ef3453ff613b1"
    assert json.loads(json.dumps(Runner(tmp_path).keys.config(Numbers())))["number"] == 3


class Slow(Stage):
    """Leaves a partial result behind before it is done."""

    stage_name: ClassVar[str] = "slow"
    numbers: Numbers
    rate: int = 1
    interrupted: Annotated[bool, NOT_IN_KEY] = False

    def build(self, work: Work) -> None:
        """Write what the upstream said when the work was begun."""
        partial = work.scratch() / "partial.txt"
        if not partial.exists():
            partial.write_text((work.input(self.numbers) / "number.txt").read_text())
        if self.interrupted:
            raise KeyboardInterrupt
        write_text(work.folder / "result.txt", partial.read_text())


def test_partial_results_are_kept_over_a_kill(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Runner(tmp_path).build(Slow(numbers=Numbers(), interrupted=True))
    assert (Runner(tmp_path).folder(Slow(numbers=Numbers())) / "scratch" / "partial.txt").exists()
    folder = Runner(tmp_path).build(Slow(numbers=Numbers()))
    assert not (folder / "scratch").exists()


def test_partial_results_of_another_upstream_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        Runner(tmp_path).build(Slow(numbers=Numbers(), interrupted=True))
    (Runner(tmp_path).folder(Numbers()) / "number.txt").unlink()

    def another(self: Numbers, work: Work) -> None:
        write_text(work.folder / "number.txt", "50\n")

    monkeypatch.setattr(Numbers, "build", another)
    folder = Runner(tmp_path).build(Slow(numbers=Numbers()))
    assert (folder / "result.txt").read_text() == "50\n"


def test_a_changed_default_does_not_go_on_with_a_half_finished_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Runner(tmp_path).build(Slow(numbers=Numbers(), interrupted=True))
    folder = Runner(tmp_path).folder(Slow(numbers=Numbers()))
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "rate": 9})
    with pytest.raises(InputError, match=r"rate = 9 \(now 1\)"):
        Runner(tmp_path).build(Slow(numbers=Numbers()))


def test_a_field_that_came_later_disturbs_nothing(tmp_path: Path) -> None:
    folder = Runner(tmp_path).build(Numbers())
    begin_as(folder, options=None)
    assert Runner(tmp_path).manifest(Numbers()) is not None


def test_the_suffix_of_a_table_is_part_of_the_key(tmp_path: Path) -> None:
    for name in ("t.txt", "t.csv", "u.csv"):
        (tmp_path / name).write_text("text\na\n")
    keys = [key(Numbers(file=File(path=tmp_path / name)), tmp_path) for name in ("t.txt", "t.csv", "u.csv")]
    assert keys[0] != keys[1] == keys[2]


def test_a_damaged_cache_of_hashes_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    before = key(Numbers(file=File(path=tmp_path / "x.txt")), tmp_path)
    (tmp_path / "hashes.json").write_text("{")
    assert key(Numbers(file=File(path=tmp_path / "x.txt")), tmp_path) == before


def test_a_field_that_came_later_changes_no_folder_and_a_changed_one_is_named() -> None:
    """Also inside of lists, such as the phases of a training."""
    stored = {"phases": [{"epochs": 1, "rate": 0.1}, {"epochs": 2, "rate": 0.1}]}
    later = {"phases": [{**phase, "lowest_rate": 0.0} for phase in stored["phases"]]}
    assert first_difference(stored, later) == ""
    changed = {"phases": [later["phases"][0], {**later["phases"][1], "rate": 0.2}]}
    assert first_difference(stored, changed) == "phases.1.rate = 0.1 (now 0.2)"
    assert "now [" in first_difference(stored, {"phases": later["phases"][:1]})
