"""Stages: settings with a key, a folder that is finished or not, and a driver that builds what is missing.

A stage is a frozen model whose fields are its settings, its input files and its upstream stages. Its key
is a hash of what can change its result. `Runner` walks the graph upstream first and builds, one process
at a time, what is not there yet. This module knows nothing of text or models.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from ulmfit import provenance
from ulmfit.assets import File, fetch
from ulmfit.errors import InputError, StageFailed
from ulmfit.files import read_json, remove_temporaries, sha256_of, write_json, write_text
from ulmfit.progress import Progress, say
from ulmfit.settings import NOT_IN_KEY, Settings

MANIFEST, CONFIG, LOG, FAILURE, SCRATCH = "manifest.json", "config.json", "log.txt", "failed.txt", "scratch"
ORIGIN = "origin.json"
"""In the scratch folder: the results of the upstreams that it was begun with."""
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})


class Stage(Settings):
    """One step of an experiment; subclasses add fields and `build`."""

    stage_name: ClassVar[str]
    """Folder under `runs/stages/`."""
    stage_version: ClassVar[int] = 1
    """Raised when the code changes what the same settings produce."""

    def build(self, work: Work) -> None:
        """Write the stage's files into `work.folder`."""
        raise TypeError(f"{type(self).__name__} has no build()")

    def resolved(self) -> Self:
        """Return a copy in which `auto` values are replaced by what they mean on this machine."""
        return self

    def upstream(self) -> list[Stage]:
        """Return the stages that this one reads, in the order of the fields."""
        return [value for value in _walk(self, inside=True) if isinstance(value, Stage)]

    def input_files(self) -> list[File]:
        """Return the input files of this stage alone."""
        return [value for value in _walk(self, inside=True) if isinstance(value, File)]


def _walk(value: Any, *, inside: bool = False) -> Iterator[Stage | File]:
    """Yield the stages and files that `value` refers to, without entering upstream stages."""
    if isinstance(value, (Stage, File)) and not inside:
        yield value
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _walk(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _walk(item)


class Keys:
    """Computes stage keys; remembers hashes of local input files in `runs/hashes.json` by size and time."""

    def __init__(self, runs: Path) -> None:
        self._path = runs / "hashes.json"
        self._hashes: dict[str, list] = _read_cache(self._path)
        self._known: dict[int, tuple[Stage, str]] = {}

    def key(self, stage: Stage) -> str:
        """Return 16 hexadecimal digits that name the result of `stage`."""
        if id(stage) not in self._known:
            content = {
                "stage": stage.stage_name,
                "version": stage.stage_version,
                "settings": self._canonical(stage.resolved(), full=False, inside=True),
            }
            text = json.dumps(content, sort_keys=True, ensure_ascii=False)
            self._known[id(stage)] = (stage, hashlib.sha256(text.encode()).hexdigest()[:16])
        return self._known[id(stage)][1]

    def config(self, stage: Stage) -> dict[str, Any]:
        """Return every setting that can change the result, defaults included."""
        return self._canonical(stage.resolved(), full=True, inside=True)

    def file_hash(self, file: File) -> str:
        """Return the SHA-256 of a file's content; of a folder, that of its files' names and contents."""
        if file.path is None:
            return file.sha256
        if not file.path.exists():
            raise InputError(f"input file {file.path} does not exist")
        if file.path.is_dir():
            members = sorted(path for path in file.path.rglob("*") if path.is_file())
            listing = [(str(member.relative_to(file.path)), self._local_hash(member)) for member in members]
            return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        return self._local_hash(file.path)

    def _local_hash(self, path: Path) -> str:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        known = self._hashes.get(str(path.resolve()))
        if known is None or known[:2] != stamp:
            known = [*stamp, sha256_of(path)]
            self._hashes[str(path.resolve())] = known
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, self._hashes)
        return known[2]

    def _canonical(self, value: Any, *, full: bool, inside: bool = False) -> Any:
        """Return JSON content for `value`; `full` keeps fields that have their default."""
        if isinstance(value, Stage) and not inside:
            return {"stage": value.stage_name, "key": self.key(value)}
        if isinstance(value, File):
            suffix = Path(value.label).suffix.lower()
            # The suffix of a table decides how it is read.
            form = {"table": suffix} if suffix in TABLE_SUFFIXES else {}
            return {"sha256": self.file_hash(value), **form}
        if isinstance(value, Settings):
            fields = {
                name: self._canonical(getattr(value, name), full=full)
                for name, field in type(value).model_fields.items()
                if NOT_IN_KEY not in field.metadata and (full or getattr(value, name) != field.default)
            }
            return {"kind": type(value).__name__, **fields}
        if isinstance(value, (tuple, list)):
            return [self._canonical(item, full=full) for item in value]
        if isinstance(value, dict):
            return {str(name): self._canonical(item, full=full) for name, item in value.items()}
        if isinstance(value, Path):
            raise TypeError("a path cannot be part of a key: use File")
        return value


class Work:
    """What a stage's `build` may use: its folder, its inputs, a log, a place for checkpoints."""

    def __init__(self, runner: Runner, stage: Stage, folder: Path) -> None:
        self._runner = runner
        self._stage = stage
        self.folder = folder
        self.warnings: list[str] = []
        self.measures: dict[str, float] = {}
        self.machine: dict[str, Any] = {}

    def input(self, stage: Stage) -> Path:
        """Return the folder of an upstream stage, however far up; its contents are verified first."""
        self._runner.verify(stage)
        return self._runner.folder(stage)

    def file(self, file: File) -> Path:
        """Return a verified local path of an input file."""
        return self._runner.fetch(file, self.log)

    def log(self, message: str) -> None:
        """Write one line to the terminal and to the stage's log."""
        line = f"{self._stage.stage_name}: {message}"
        say(line)
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def warn(self, message: str) -> None:
        """Log a warning, which the manifest keeps."""
        self.warnings.append(message)
        self.log(f"warning: {message}")

    def measure(self, name: str, value: float) -> None:
        """Keep a measurement (seconds, tokens a second) in the manifest, outside of the result."""
        self.measures[name] = value

    def record_machine(self, machine: dict[str, Any]) -> None:
        """Keep in the manifest what the result was computed on (device, threads)."""
        self.machine = machine

    def progress(self, total: int, unit: str, done: int = 0) -> Progress:
        """Return a progress display with rate and time left: a bar on a terminal, else lines in the log."""
        return Progress(total, unit, self._stage.stage_name, self.log, done)

    def scratch(self) -> Path:
        """Return a folder for checkpoints and partial results: kept when killed, removed at success."""
        path = self.folder / SCRATCH
        path.mkdir(exist_ok=True)
        return path


class Runner:
    """Builds stages under `runs/stages/`, upstream first; `mirror` is searched for input files first."""

    def __init__(self, runs: Path, mirror: Path | None = None) -> None:
        self.runs = runs
        self.mirror = mirror
        self.keys = Keys(runs)
        self._verified: set[Path] = set()

    def folder(self, stage: Stage) -> Path:
        """Return where the files of `stage` are or will be."""
        return self.runs / "stages" / stage.stage_name / self.keys.key(stage)

    def fetch(self, file: File, log=say) -> Path:
        """Return a verified local path of an input file."""
        return fetch(file, self.runs / "assets", self.mirror, log)

    def order(self, *stages: Stage) -> list[Stage]:
        """Return `stages` and all that they need, upstream first, each result once."""
        found: dict[Path, Stage] = {}

        def visit(stage: Stage) -> None:
            for upstream in stage.upstream():
                visit(upstream)
            found.setdefault(self.folder(stage), stage)

        for stage in stages:
            visit(stage)
        return list(found.values())

    def build(self, stage: Stage) -> Path:
        """Build what is missing of `stage` and its upstreams; return its folder."""
        for needed in self.order(stage):
            self.ensure(needed)
        return self.folder(stage)

    def ensure(self, stage: Stage) -> bool:
        """Build `stage`, whose upstreams are done, unless it is done; return whether it was built here."""
        if self.is_done(stage):
            return False
        from filelock import Timeout

        lock = self.lock(stage)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{stage.stage_name}: another process is building {self.folder(stage).name}; waiting for it")
            lock.acquire()
        try:
            if self.is_done(stage):
                return False
            for upstream in stage.upstream():
                self.verify(upstream)
            self._build(stage)
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
        if difference := _first_difference(stored, self.keys.config(stage)):
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
            say(f"{stage.stage_name}: {', '.join(altered) or MANIFEST} was altered; building it again")
            (folder / MANIFEST).unlink(missing_ok=True)
            self.build(stage)
        self._verified.add(folder)

    def _build(self, stage: Stage) -> None:
        folder = self.folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        remove_temporaries(folder)
        self._drop_stale_scratch(stage, folder)
        write_json(folder / CONFIG, self.keys.config(stage))
        work = Work(self, stage, folder)
        work.log(f"started ({folder.name})")
        started = time.monotonic()
        try:
            stage.resolved().build(work)
        except BaseException as error:
            _note_failure(folder, error)
            raise
        seconds = time.monotonic() - started
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        work.log(f"done in {seconds:.1f} s")
        self._write_manifest(stage, work, seconds)

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


def _read_cache(path: Path) -> dict[str, list]:
    """Read a file that is only a cache; a damaged one is an empty one."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


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


def _first_difference(stored: Any, current: Any, name: str = "") -> str:
    """Return the first field in which two configurations differ, with both values, or an empty string."""
    if isinstance(stored, dict) and isinstance(current, dict):
        # A field that came later, with a default, changes nothing that was built before.
        for field in sorted(stored.keys()):
            inner = f"{name}.{field}" if name else field
            if difference := _first_difference(stored.get(field), current.get(field), inner):
                return difference
        return ""
    return "" if stored == current else f"{name} = {stored!r} (now {current!r})"
