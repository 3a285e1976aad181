"""The driver of stages: builds what is missing, one process at a time, and writes what is finished down.

The only sign of success is a stage's manifest. Its files are checked by size and time at every run, and by
content before they are used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ulmfit import provenance
from ulmfit.assets import File, check_mirror, fetch
from ulmfit.errors import InputError, StageFailed
from ulmfit.files import read_json, remove_temporaries, sha256_of, write_json, write_text
from ulmfit.progress import say
from ulmfit.stage import CONFIG, FAILURE, LOG, MANIFEST, SCRATCH, Keys, Stage, Work

ORIGIN = "origin.json"
"""In the scratch folder: the results of the upstreams that it was begun with."""


class Runner:
    """Builds stages under `runs/stages/`, upstream first; `mirror` is searched for input files first."""

    def __init__(self, runs: Path, mirror: Path | None = None) -> None:
        if mirror is not None:
            check_mirror(mirror)
        self.runs = runs
        self.mirror = mirror
        self.keys = Keys(runs)
        self._verified: set[Path] = set()

    def folder(self, stage: Stage) -> Path:
        """Return where the files of `stage` are or will be."""
        return self.runs / "stages" / stage.stage_name / self.keys.key(stage)

    def fetch(self, file: File, log: Callable[[str], None] = say) -> Path:
        """Return a verified local path of an input file."""
        return fetch(file, self.runs / "assets", self.mirror, log)

    def order(self, *stages: Stage) -> list[Stage]:
        """Return `stages` and all that they need, upstream first, each result once."""
        found: dict[Path, Stage] = {}

        def visit(stage: Stage) -> None:
            folder = self.folder(stage)
            if folder not in found:
                for upstream in stage.upstream():
                    visit(upstream)
                found[folder] = stage

        for stage in stages:
            visit(stage)
        return list(found.values())

    def build(self, stage: Stage) -> Path:
        """Build what is missing of `stage` and its upstreams; return its folder."""
        for needed in self.order(stage):
            self.ensure(needed)
        return self.folder(stage)

    def ensure(self, stage: Stage, place: str = "") -> bool:
        """Build `stage`, whose upstreams are done, unless it is done; return whether it was built here.

        `place` says where it stands in a run, such as "stage 3 of 20".
        """
        if self.is_done(stage):
            return False
        from filelock import Timeout

        lock = self.lock(stage)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{stage.title}: another process is building {self.folder(stage).name}; waiting for it")
            lock.acquire()
        try:
            if self.is_done(stage):
                return False
            for upstream in stage.upstream():
                self.verify(upstream)
            self._build(stage, place)
            return True
        finally:
            lock.release()

    def lock(self, stage: Stage):
        """Return the lock that the builder of `stage` holds; it dies with its process."""
        from filelock import FileLock

        return FileLock(lock_path(self.folder(stage)))

    def manifest(self, stage: Stage) -> dict[str, Any] | None:
        """Return the manifest of a finished stage, or None; InputError when a default changed under it."""
        folder = self.folder(stage)
        self._check_defaults(stage, folder)
        try:
            return read_json(folder / MANIFEST)
        except (OSError, ValueError):
            return None

    def _check_defaults(self, stage: Stage, folder: Path) -> None:
        """Raise InputError when a finished or half-finished folder was begun under other defaults."""
        try:
            stored = read_json(folder / CONFIG)
        except (OSError, ValueError):
            return
        if difference := first_difference(stored, self.keys.config(stage)):
            raise InputError(
                f"{folder} was begun with {difference}, which is a default that has changed since: "
                f"set the field in the recipe, or remove the folder"
            )

    def is_done(self, stage: Stage) -> bool:
        """Return whether the files of `stage` are there, unchanged, and made from today's upstreams."""
        manifest = self.manifest(stage)
        if manifest is None:
            return False
        for upstream in stage.upstream():
            above = self.manifest(upstream)
            if above is None or manifest["upstream"].get(_name(self, upstream)) != above["outputs"]:
                return False
        folder = self.folder(stage)
        return all(_is_unchanged(folder / name, entry) for name, entry in manifest["files"].items())

    def verify(self, stage: Stage) -> None:
        """Check the contents of a finished stage before they are used; rebuild it when they are altered."""
        folder = self.folder(stage)
        if folder in self._verified:
            return
        manifest = self.manifest(stage)
        files = manifest["files"] if manifest else {}
        altered = [name for name, entry in files.items() if not _has_content(folder / name, entry)]
        if altered or manifest is None:
            say(f"{stage.title}: {', '.join(altered) or MANIFEST} was altered; building it again")
            (folder / MANIFEST).unlink(missing_ok=True)
            self.build(stage)
        self._verified.add(folder)

    def _build(self, stage: Stage, place: str) -> None:
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        remove_temporaries(folder)
        self._drop_stale_scratch(stage, folder)
        write_json(folder / CONFIG, self.keys.config(stage))
        work = Work(self, stage, folder)
        work.log(f"started ({folder.name})" + (f", {place}" if place else ""))
        started = time.monotonic()
        try:
            self.execute(stage.resolved(), work)
        except BaseException as error:
            _note_failure(folder, error)
            raise
        seconds = time.monotonic() - started
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        work.log(f"done in {seconds:.1f} s")
        self._write_manifest(stage, work, seconds)

    def execute(self, stage: Stage, work: Work) -> None:
        """Build a stage whose folder is ready, in this process; `launch` knows other ways."""
        stage.build(work)

    def _drop_stale_scratch(self, stage: Stage, folder: Path) -> None:
        """Keep a killed build's partial results only when the upstreams' results are still the same."""
        origin = self._upstream_outputs(stage)
        try:
            if read_json(folder / SCRATCH / ORIGIN) == origin:
                return
        except (OSError, ValueError):
            pass
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        (folder / SCRATCH).mkdir()
        write_json(folder / SCRATCH / ORIGIN, origin)

    def _upstream_outputs(self, stage: Stage) -> dict[str, str]:
        """Return the hash of the result of each upstream stage; they are all finished."""
        outputs = {}
        for above in stage.upstream():
            manifest = self.manifest(above)
            if manifest is None:
                raise StageFailed(f"{above.stage_name} was removed while {stage.stage_name} needed it")
            outputs[_name(self, above)] = manifest["outputs"]
        return outputs

    def _write_manifest(self, stage: Stage, work: Work, seconds: float) -> None:
        folder = self.folder(stage)
        names = sorted(path.name for path in folder.iterdir() if path.name not in (LOG, FAILURE))
        files = {name: _describe(folder / name) for name in names}
        content = json.dumps([(name, entry["sha256"]) for name, entry in files.items()])
        inputs: dict[str, str] = {}
        for file in stage.input_files():
            add_numbered(inputs, file.label, self.keys.file_hash(file))
        manifest = {
            "stage": stage.stage_name,
            "key": folder.name,
            "outputs": hashlib.sha256(content.encode()).hexdigest(),
            "files": files,
            "upstream": self._upstream_outputs(stage),
            "inputs": inputs,
            "warnings": work.warnings,
            # A resumed training counts the time before it was killed as well.
            "seconds": round(max(seconds, work.measures.get("training_seconds", 0)), 3),
            "measures": work.measures,
            "machine": work.machine,
            **provenance.describe(),
        }
        write_json(folder / MANIFEST, manifest)
        self._verified.add(folder)


def add_numbered(entries: dict[str, str], name: str, value: str) -> None:
    """Add a name; where it stands for another value already, with a number behind it."""
    numbered, number = name, 1
    while entries.setdefault(numbered, value) != value:
        number += 1
        numbered = f"{name} ({number})"


def lock_path(folder: Path) -> Path:
    """Return the lock file of a stage's folder; it lies outside, so that the folder can be removed."""
    locks = folder.parents[2] / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    return locks / f"{folder.parent.name}-{folder.name}.lock"


def _name(runner: Runner, stage: Stage) -> str:
    return f"{stage.stage_name}/{runner.keys.key(stage)}"


def _describe(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256_of(path)}


def _is_unchanged(path: Path, entry: dict[str, Any]) -> bool:
    """Compare size and time of change; where only the time differs (a copied folder), the content decides."""
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != entry["bytes"]:
        return False
    return status.st_mtime_ns == entry["mtime_ns"] or sha256_of(path) == entry["sha256"]


def _has_content(path: Path, entry: dict[str, Any]) -> bool:
    return path.is_file() and sha256_of(path) == entry["sha256"]


def _note_failure(folder: Path, error: BaseException) -> None:
    """Leave a line for `ulmfit status`; a full disk must not hide the first error."""
    try:
        write_text(folder / FAILURE, f"{type(error).__name__}: {error}\n")
    except OSError:
        return


def first_difference(stored: Any, current: Any, name: str = "") -> str:
    """Return the first field in which two configurations differ, with both values, or an empty string."""
    if isinstance(stored, dict) and isinstance(current, dict):
        # A field that came later, with a default, changes nothing that was built before.
        for field in sorted(stored.keys()):
            inner = f"{name}.{field}" if name else field
            if difference := first_difference(stored.get(field), current.get(field), inner):
                return difference
        return ""
    if isinstance(stored, list) and isinstance(current, list) and len(stored) == len(current):
        pairs = enumerate(zip(stored, current, strict=True))
        found = (first_difference(*pair, f"{name}.{index}") for index, pair in pairs)
        return next(filter(None, found), "")
    return "" if stored == current else f"{name} = {stored!r} (now {current!r})"
