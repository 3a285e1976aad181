"""Builds missing stages, each in one process at a time, and writes a manifest when a stage is finished.

The only sign of success is a stage's manifest. Its files are checked by size and time at every run, and by
content before they are used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ulmfit.pipeline import provenance
from ulmfit.pipeline.assets import File, check_mirror, fetch
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import read_json, remove_temporaries, write_json, write_text
from ulmfit.pipeline.manifest import (
    CONFIG,
    MANIFEST,
    Manifest,
    describe_file,
    has_content,
    is_unchanged,
    outputs_hash,
    read_config,
    read_manifest,
    write_manifest,
)
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.stage import FAILURE, LOG, SCRATCH, Keys, Stage, Work

ORIGIN = "origin.json"
"""File in the scratch folder: hashes of the upstream results with which the build began."""


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
            fault = self.fault(stage)
            if fault is None:
                return False
            if fault:
                say(f"{stage.title}: {fault}; building it again")
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

    def manifest(self, stage: Stage) -> Manifest | None:
        """Return the manifest of a finished stage; None where there is none, or it or the config is altered.

        Raises InputError when a default has changed under a finished or half-finished stage.
        """
        folder = self.folder(stage)
        manifest = read_manifest(folder)
        stored = read_config(folder, manifest)
        if stored is None:
            return None
        if difference := first_difference(stored, self.keys.config(stage)):
            altered = "" if manifest else f", or {CONFIG} was altered"
            raise InputError(
                f"{folder} was begun with {difference}, which is a default that has changed since{altered}: "
                f"set the field in the recipe, or remove the folder"
            )
        return manifest

    def is_done(self, stage: Stage) -> bool:
        """Return whether the files of `stage` are there, unchanged, and made from today's upstreams."""
        return self.fault(stage) is None

    def fault(self, stage: Stage) -> str | None:
        """Return what was altered in the folder of `stage`; empty: it was not finished; None: it is done."""
        folder = self.folder(stage)
        manifest = self.manifest(stage)
        if manifest is None:
            return f"{MANIFEST} or {CONFIG} was altered" if (folder / MANIFEST).exists() else ""
        for upstream in stage.upstream():
            above = self.manifest(upstream)
            if above is None or manifest["upstream"].get(_name(self, upstream)) != above["outputs"]:
                return ""
        files = manifest["files"].items()
        name = next((name for name, entry in files if not is_unchanged(folder / name, entry)), None)
        return None if name is None else f"{name} was altered"

    def verify(self, stage: Stage) -> None:
        """Check the contents of a finished stage before they are used; rebuild it when they are altered."""
        folder = self.folder(stage)
        if folder in self._verified:
            return
        if altered := self._altered(stage):
            self._mend(stage, altered)
        self._verified.add(folder)

    def verified(self, stage: Stage) -> Path:
        """Return the folder of a finished stage, whose contents are checked."""
        self.verify(stage)
        return self.folder(stage)

    def _altered(self, stage: Stage) -> str:
        """Return the names of a finished stage's files whose content has changed; empty: none."""
        manifest, folder = self.manifest(stage), self.folder(stage)
        if manifest is None:
            return MANIFEST
        files = manifest["files"].items()
        return ", ".join(name for name, entry in files if not has_content(folder / name, entry))

    def _mend(self, stage: Stage, altered: str) -> None:
        say(f"{stage.title}: {altered} was altered; building it again")
        (self.folder(stage) / MANIFEST).unlink(missing_ok=True)
        self.build(stage)

    def _build(self, stage: Stage, place: str) -> None:
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        remove_temporaries(folder)
        above = self._upstream_outputs(stage)
        self._drop_stale_scratch(folder, above)
        write_json(folder / CONFIG, self.keys.config(stage))
        work = Work(self, stage, folder)
        work.log(f"started ({folder.name})" + (f", {place}" if place else ""))
        started = time.monotonic()
        try:
            # Several processes speak for themselves.
            alone = stage.processes().total == 1
            with work.heartbeat if alone else contextlib.nullcontext():
                self.execute(stage.resolved(), work)
        except Exception as error:
            _note_failure(folder, error)
            if removed := self._removed(stage):
                raise StageFailed(
                    f"{stage.title}: {removed} was removed while it was needed; the same command builds what "
                    f"is missing again and goes on ({type(error).__name__}: {error})"
                ) from error
            raise
        except BaseException as error:
            _note_failure(folder, error)
            raise
        seconds = time.monotonic() - started
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        work.log(f"done in {seconds:.1f} s")
        self._write_manifest(stage, work, seconds, above)

    def execute(self, stage: Stage, work: Work) -> None:
        """Build a stage in this process; its folder is ready. `launch` has other ways to build."""
        stage.build(work)

    def _removed(self, stage: Stage) -> str:
        """Return the folder that a build needs and that is gone; empty: none."""
        needed = self.order(stage)
        return next((f"the folder of {one.title}" for one in needed if not self.folder(one).exists()), "")

    def _drop_stale_scratch(self, folder: Path, origin: dict[str, str]) -> None:
        """Keep a killed build's partial results only when the upstreams' results are still the same."""
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
                raise StageFailed(
                    f"{above.title} was removed while {stage.title} needed it: run the same command again"
                )
            outputs[_name(self, above)] = manifest["outputs"]
        return outputs

    def _write_manifest(self, stage: Stage, work: Work, seconds: float, above: dict[str, str]) -> None:
        folder = self.folder(stage)
        names = sorted(path.name for path in folder.iterdir() if path.name not in (LOG, FAILURE))
        files = {name: describe_file(folder / name) for name in names}
        inputs: dict[str, str] = {}
        for file in stage.input_files():
            add_numbered(inputs, file.label, self.keys.file_hash(file))
        manifest: Manifest = {
            "stage": stage.stage_name,
            "key": folder.name,
            "outputs": outputs_hash(files),
            "files": files,
            # The upstream results as they were at the beginning: they may have been removed since.
            "upstream": above,
            "inputs": inputs,
            "warnings": work.warnings,
            # A resumed training counts the time before it was killed as well.
            "seconds": round(max(seconds, work.measures.get("training_seconds", 0)), 3),
            "measures": work.measures,
            "machine": work.machine,
            "commit": provenance.describe()["commit"],
            "versions": provenance.describe()["versions"],
            "hardware": provenance.describe()["hardware"],
        }
        write_manifest(folder, manifest)
        self._verified.add(folder)


class FinishedRunner(Runner):
    """Reads finished stages and builds nothing, for commands such as `ulmfit report`."""

    def _mend(self, stage: Stage, altered: str) -> None:
        raise InputError(
            f"{self.folder(stage)}: {altered} was altered since it was made: remove this folder and run the "
            f"recipe again, which builds it anew"
        )


def add_numbered(entries: dict[str, str], name: str, value: str) -> None:
    """Add a name and its value; if the name has another value already, add it with a number behind it."""
    numbered, number = name, 1
    while entries.setdefault(numbered, value) != value:
        number += 1
        numbered = f"{name} ({number})"


def lock_path(folder: Path) -> Path:
    """Return the lock file of a stage's folder; it is outside the folder, so that this can be removed."""
    path = _lock_path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _lock_path(folder: Path) -> Path:
    return folder.parents[2] / "locks" / f"{folder.parent.name}-{folder.name}.lock"


def is_locked(folder: Path) -> bool:
    """Return whether a process is building a stage. Writes nothing: the folder may be another user's."""
    import fcntl

    try:
        descriptor = os.open(_lock_path(folder), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # nobody else can tell
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _name(runner: Runner, stage: Stage) -> str:
    return f"{stage.stage_name}/{runner.keys.key(stage)}"


def _note_failure(folder: Path, error: BaseException) -> None:
    """Leave a line for `ulmfit status`; a full disk must not hide the first error."""
    try:
        write_text(folder / FAILURE, f"{type(error).__name__}: {error}\n")
    except OSError:
        return


def was_stopped(folder: Path) -> bool:
    """Return whether a signal, and no error, ended the build in a stage's folder."""
    try:
        first = (folder / FAILURE).read_text(encoding="utf-8", errors="replace").partition(":")[0]
    except OSError:
        return False
    return first in (SystemExit.__name__, KeyboardInterrupt.__name__)


def first_difference(stored: Any, current: Any, name: str = "") -> str:
    """Return the first field in which two configurations differ, with both values, or an empty string."""
    if isinstance(stored, dict) and isinstance(current, dict):
        # A field that was added later, with a default, changes nothing that was built before.
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
