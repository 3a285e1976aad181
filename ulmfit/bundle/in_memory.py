"""Builds stages below a folder that goes away, without a line of log: for texts that are in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.progress import Progress
from ulmfit.pipeline.stage import Stage, Work


class FolderOfStages:
    """Stages that are built one after the other below a folder; nothing is shared, and nothing resumed.

    `log` gets the lines of their logs; None: nobody does, and there is no progress bar. Their warnings are
    Python's.
    """

    mirror: Path | None = None

    def __init__(self, root: Path, log: Callable[[str], None] | None) -> None:
        self.root, self.log = root, log
        self._finished: list[tuple[Stage, Path]] = []

    def add(self, stage: Stage, folder: Path) -> None:
        """Take a folder as what a stage has built."""
        self._finished.append((stage, folder))

    def build(self, stage: Stage) -> Path:
        """Build a stage, and before it what it needs and is not there; return its folder."""
        if (folder := self._found(stage)) is not None:
            return folder
        for upstream in stage.upstream():
            self.build(upstream)
        folder = self.root / f"{len(self._finished)}-{stage.stage_name}"
        folder.mkdir()
        resolved = stage.resolved()
        resolved.build(_SilentWork(self, resolved, folder))
        self.add(stage, folder)
        return folder

    def _found(self, stage: Stage) -> Path | None:
        return next((folder for one, folder in self._finished if one == stage), None)

    def folder(self, stage: Stage) -> Path:
        """Return where the files of a finished stage are."""
        folder = self._found(stage)
        assert folder is not None, f"{stage.title} is not built"
        return folder

    def verify(self, stage: Stage) -> None:
        """Check nothing: what was built here a moment ago is as it was."""

    def fetch(self, file: File, log: Callable[[str], None]) -> Path:
        """Return the path of a local file."""
        if file.path is None or not file.path.exists():
            raise InputError(f"{file.label} is not there: expected the path of a file or folder")
        return file.path


class _SilentWork(Work):
    """A stage's work without a log file."""

    def __init__(self, inputs: FolderOfStages, stage: Stage, folder: Path) -> None:
        super().__init__(inputs, stage, folder)
        self._say = inputs.log

    def log(self, message: str) -> None:
        if self._say is not None:
            self._say(f"{self._stage.title}: {message}")

    def warn(self, message: str) -> None:
        warnings.warn(f"{self._stage.title}: {message}", stacklevel=2)

    def progress(self, total: int, unit: str, done: int = 0) -> Progress:
        kind = Progress if self._say is not None else _NoProgress
        return kind(total, unit, self._stage.title, self.log, done)


class _NoProgress(Progress):
    """Counts, and shows nothing."""

    def advance(self, count: int, note: str = "") -> None:
        self.done += count

    def close(self) -> None:
        return
