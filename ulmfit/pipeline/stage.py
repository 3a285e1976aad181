"""Stages: settings with a key, and what their `build` may use.

A stage is a frozen model whose fields are its settings, its input files and its upstream stages. Its key
is a hash of what can change its result. `runner.Runner` builds what is not there yet. This module knows
nothing of text or models.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from ulmfit.pipeline.assets import File, missing
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import is_text, packed_suffix, read_json, sha256_of, table_suffix, write_json
from ulmfit.pipeline.manifest import CONFIG as CONFIG
from ulmfit.pipeline.manifest import MANIFEST as MANIFEST
from ulmfit.pipeline.manifest import cache_entry, hashes_in_cache
from ulmfit.pipeline.printing import printable
from ulmfit.pipeline.progress import Heartbeat, Progress, say
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings

LOG, FAILURE, SCRATCH = "log.txt", "failed.txt", "scratch"


class Processes(NamedTuple):
    """How many processes the settings of a stage ask for, and on what device."""

    gpus: int = 0
    """Processes per machine, each with a GPU of its own; 0: one process, without a launcher."""
    machines: int = 1
    together: bool = False
    """Whether several processes can build the stage; if not, one builds it, whatever was asked for."""
    device: str | None = None
    """The `device` setting of a training; None: the stage trains nothing."""

    @property
    def per_machine(self) -> int:
        """Processes per machine that were asked for."""
        return max(1, self.gpus)

    @property
    def total(self) -> int:
        """Processes of all machines that were asked for."""
        return self.per_machine * self.machines


class Stage(Settings):
    """One step of an experiment; subclasses add fields and `build`."""

    stage_name: ClassVar[str]
    """Folder under `runs/stages/`."""
    stage_version: ClassVar[int] = 1
    """Raised when the code changes what the same settings produce."""

    def version(self) -> int:
        """Return `stage_version`; a higher number where only these settings produce something else now."""
        return self.stage_version

    def build(self, work: Work) -> None:
        """Write the stage's files into `work.folder`."""
        raise TypeError(f"{type(self).__name__} has no build()")

    def check_files(self) -> None:
        """Raise InputError for local input files that `build` would refuse, if a quick look shows it."""

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs, such as direction and seed; no key depends on them."""
        return ()

    @property
    def title(self) -> str:
        """Name and details; each line of the log begins with it."""
        details = ", ".join(dict.fromkeys(self.details))
        return f"{self.stage_name} ({details})" if details else self.stage_name

    def processes(self) -> Processes:
        """Return the processes that the stage's settings ask for."""
        return Processes()

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
                "version": stage.version(),
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
            # Of a file that nobody has seen yet `plan` gives a key that is none of a finished stage.
            return file.known_hash or f"not downloaded yet: {file.address}"
        if not file.path.exists():
            raise InputError(missing(file))
        if file.path.is_dir():
            members = sorted(path for path in file.path.rglob("*") if path.is_file())
            listing = [(str(member.relative_to(file.path)), self._local_hash(member)) for member in members]
            return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        return self._local_hash(file.path)

    def _local_hash(self, path: Path) -> str:
        status, name = path.stat(), str(path.resolve())
        if not is_text(name):
            raise InputError(f"input file {name}: its path is not UTF-8, expected one that is: rename it")
        stamp = [status.st_size, status.st_mtime_ns]
        known = self._hashes.get(name)
        if known is None or known[:2] != stamp:
            known = cache_entry(name, stamp, sha256_of(path))
            self._hashes[name] = known
            with contextlib.suppress(OSError):  # the folder may be another user's, and this is only a cache
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._path, self._hashes)
        return known[2]

    def _canonical(self, value: Any, *, full: bool, inside: bool = False) -> Any:
        """Return JSON content for `value`; `full` keeps fields that have their default."""
        if isinstance(value, Stage) and not inside:
            return {"stage": value.stage_name, "key": self.key(value)}
        if isinstance(value, File):
            # The suffixes of a table decide how it is read.
            suffix = table_suffix(value.label)
            form = {"table": suffix + packed_suffix(value.label)} if suffix else {}
            return {"sha256": self.file_hash(value), **form}
        if isinstance(value, Settings):
            fields = {
                field.serialization_alias or name: self._canonical(getattr(value, name), full=full)
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


class Inputs(Protocol):
    """What the work of a stage needs from the runner."""

    mirror: Path | None

    def folder(self, stage: Stage) -> Path:
        """Return where the files of `stage` are."""

    def verify(self, stage: Stage) -> None:
        """Check the contents of a finished stage; build it again when they are altered."""

    def fetch(self, file: File, log: Callable[[str], None]) -> Path:
        """Return a verified local path of an input file."""


class Work:
    """What a stage's `build` may use: its folder, its inputs, a log, a place for checkpoints."""

    def __init__(self, inputs: Inputs, stage: Stage, folder: Path) -> None:
        self._inputs = inputs
        self._stage = stage
        self.folder = folder
        self.warnings: list[str] = []
        self.measures: dict[str, float] = {}
        self.machine: dict[str, Any] = {}
        self.heartbeat = Heartbeat(stage.title)
        """Shows that the stage is at work while it says nothing; the runner lets it beat."""

    def input(self, stage: Stage) -> Path:
        """Return the folder of a direct or indirect upstream stage, whose contents are verified first."""
        self._inputs.verify(stage)
        return self._inputs.folder(stage)

    def file(self, file: File) -> Path:
        """Return a verified local path of an input file."""
        return self._inputs.fetch(file, self.log)

    @property
    def mirror(self) -> Path | None:
        """The folder that is searched before anything is downloaded; None: there is none."""
        return self._inputs.mirror

    def log(self, message: str) -> None:
        """Write one line to the terminal and to the stage's log."""
        line = f"{self._stage.title}: {message}"
        self.heartbeat.touch()
        say(line)
        with (self.folder / LOG).open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {printable(message)}\n")

    def warn(self, message: str) -> None:
        """Log a warning, which the manifest keeps."""
        self.warnings.append(message)
        self.log(f"warning: {message}")

    def measure(self, name: str, value: float) -> None:
        """Keep a measurement (seconds, tokens per second) in the manifest; it is not part of the result."""
        self.measures[name] = value

    def record_machine(self, machine: dict[str, Any]) -> None:
        """Keep in the manifest what the result was computed on (device, threads)."""
        self.machine = machine

    def progress(self, total: int, unit: str, done: int = 0) -> Progress:
        """Return a progress display with rate and time left: a bar on a terminal, else lines in the log."""
        return Progress(total, unit, self._stage.title, self.log, done, self.heartbeat.touch)

    def scratch(self) -> Path:
        """Return a folder for checkpoints and partial results: kept when killed, removed at success."""
        path = self.folder / SCRATCH
        path.mkdir(exist_ok=True)
        return path


def _read_cache(path: Path) -> dict[str, list]:
    """Read the cache of hashes; a damaged file counts as empty."""
    try:
        return hashes_in_cache(read_json(path))
    except (OSError, ValueError):
        return {}
