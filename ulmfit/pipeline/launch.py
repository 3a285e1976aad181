"""Starts a training stage in several processes, or takes part when torchrun has started them.

A stage that wants several processes of this machine gets them from torch's elastic launcher; the process
that starts them holds the stage's lock, writes its manifest and ends with it: when it is killed, they die.
Several machines are started by the user, with torchrun on each, or by Slurm: then every process walks the
graph, the first one builds what is no training, and all of them train together.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from ulmfit.pipeline.child_processes import safe_children
from ulmfit.pipeline.errors import USERS_ERRORS, InputError, StageFailed, says_out_of_memory
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.printing import printable, show
from ulmfit.pipeline.process import (
    STOP_SIGNALS,
    accept_any_text,
    ignore_stop_signals,
    ignore_stop_signals_at_exit,
)
from ulmfit.pipeline.progress import Progress
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import SCRATCH, Stage, Work

SHUTDOWN_SECONDS = "120"
"""A process that was asked to stop may take this long to write its checkpoint."""
SHUTDOWN_VARIABLE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
PR_SET_PDEATHSIG = 1
LOST_CONNECTION = ("gloo", "nccl", "connection", "timed out", "peer", "store")
"""Words of torch's errors in a process whose partner has ended."""


class LaunchingRunner(Runner):
    """Builds stages in this process, and those that want several in processes of their own."""

    def execute(self, stage: Stage, work: Work) -> None:
        """Build a stage whose folder is ready."""
        wanted = stage.processes()
        if wanted.total == 1 or not wanted.together:
            if wanted.total > 1:
                asked = f"gpus {wanted.gpus}, nodes {wanted.machines}"
                work.log(f"{asked}: only language models are trained by several processes")
            stage.build(work)
            return
        if wanted.machines > 1:
            raise InputError(
                f"nodes {wanted.machines}: start this command on every machine with torchrun, "
                "or on a cluster with --launcher slurm"
            )
        self.verify_all_above(stage)
        launch(stage, work, wanted.per_machine, self)

    def verify_all_above(self, stage: Stage) -> None:
        """Check what the processes will read: they must not build anything again themselves."""
        for needed in self.order(stage)[:-1]:
            self.verify(needed)


class ReadingRunner(Runner):
    """What a process that trains with others knows of the graph; the files are checked before."""

    def verify(self, stage: Stage) -> None:
        """Trust the process that has started this one."""


# -- started by torchrun or Slurm


class FirstRunner(LaunchingRunner):
    """The runner of the first of several processes: it calls the others when a training begins.

    They wait in `follow`. When this process ends early, theirs do so at once; `finish` lets them go.
    """

    def __init__(self, runs: Path, mirror: Path | None = None) -> None:
        from ulmfit.pipeline.processes import Announcements

        _end_with_torchrun()
        super().__init__(runs, mirror)
        self._announcements = Announcements()

    def execute(self, stage: Stage, work: Work) -> None:
        """Build a stage whose folder is ready: a language model together with the others."""
        if stage.processes().together:
            self.verify_all_above(stage)
            self._announcements.tell({"build": str(work.folder.relative_to(self.runs))})
        stage.build(work)

    def finish(self) -> None:
        """Tell the others that there is nothing left to build."""
        self._announcements.tell({"build": None})
        self._announcements.end()


def follow(stages: Sequence[Stage], runs: Path, mirror: Path | None = None) -> None:
    """Take part in the trainings that the first process announces, until it has finished.

    Raises StageFailed when it ends before that, and InputError when this process sees another recipe or other
    files than that one.
    """
    from ulmfit.pipeline.processes import Announcements

    _end_with_torchrun()
    announcements = Announcements()
    inputs = ReadingRunner(runs, mirror)
    folders = {str(inputs.folder(stage).relative_to(runs)): stage for stage in inputs.order(*stages)}
    while (name := announcements.hear()["build"]) is not None:
        if name not in folders:
            raise InputError(f"{socket.gethostname()}: {name} is no stage of the recipe as it is seen here")
        work = SilentWork(inputs, folders[name], runs / name, int(os.environ["RANK"]))
        folders[name].resolved().build(work)
    announcements.end()


def _end_with_torchrun() -> None:
    """Make this process end when torchrun is killed; other starters see to that themselves."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with(os.getppid())


# -- one machine, started here


def launch(stage: Stage, work: Work, processes: int, runner: Runner) -> None:
    """Build `stage` in `processes` processes of this machine.

    Raises what the first one raised that failed; StageFailed when one died. A signal goes to all of them and
    then to the handler that this process had.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    scratch = work.scratch()
    for old in scratch.glob("failure-*.json"):
        old.unlink()
    os.environ.setdefault(SHUTDOWN_VARIABLE, SHUTDOWN_SECONDS)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        start_method="spawn",
        logs_specs=DefaultLogsSpecs(log_dir=str(scratch / "launcher")),
    )
    work.log(f"training in {processes} processes")
    stopped_by = None
    with _own_signal_handlers(), _silent_launcher(), safe_children():
        try:
            results = elastic_launch(config, _train)(
                stage, runner.runs, runner.mirror, work.folder, os.getpid()
            )
        except ChildFailedError as error:
            raise _root_cause(scratch, error.failures) from None
        except SignalException as error:
            stopped_by = int(error.sigval)
    if stopped_by is not None:
        signal.raise_signal(stopped_by)
        raise SystemExit(128 + stopped_by)
    first = results[0]
    work.warnings += first["warnings"]
    work.measures |= first["measures"]
    work.record_machine(first["machine"])


def _train(stage: Stage, runs: Path, mirror: Path | None, folder: Path, parent: int) -> dict[str, Any]:
    """Build `stage` as one of several processes; return what the manifest keeps."""
    end_with(parent)
    # Ctrl-C goes to the process that started this one, which passes it on: once, not twice.
    os.setpgid(0, 0)
    accept_any_text()
    for number in STOP_SIGNALS:
        signal.signal(number, _leave)
    rank = int(os.environ["RANK"])
    try:
        work = work_of_rank(rank, ReadingRunner(runs, mirror), stage, folder)
        stage.build(work)
    except Exception as error:
        ignore_stop_signals()  # the launcher sends SIGTERM to those that are left
        _write_failure(folder / SCRATCH / f"failure-{rank}.json", error)
        sys.exit(1)
    from ulmfit.pipeline.processes import leave_group

    leave_group()
    # Not yet: this process waits until its result is read, and has to end when another one fails before.
    ignore_stop_signals_at_exit()
    return {"warnings": work.warnings, "measures": work.measures, "machine": work.machine}


def _leave(number: int, frame: object) -> None:
    ignore_stop_signals()
    sys.exit(128 + number)


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put this process's signal handlers back, which the launcher replaces."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _silent_launcher() -> Iterator[None]:
    """Keep the launcher's own account of what failed off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def end_with(parent: int) -> None:
    """Make this process end when its parent does, even when the parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# -- failures


class Failure(TypedDict):
    """What a process leaves that has failed."""

    type: str
    message: str
    errno: int | None
    file: str | None
    lost: bool
    traceback: str


_FAILURE = TypeAdapter(Failure)


def _write_failure(path: Path, error: Exception) -> None:
    """Tell the process that started this one why it ends."""
    lines = [line.strip() for line in str(error).splitlines() if "Exception occured in `" not in line] or [""]
    content: Failure = {
        "type": type(error).__name__,
        "message": lines[0],
        "errno": getattr(error, "errno", None),
        "file": getattr(error, "filename", None) and str(getattr(error, "filename", None)),
        "lost": is_lost_connection(error),
        "traceback": traceback.format_exc(),
    }
    try:
        write_json(path, content)
    except OSError:
        show(f"ulmfit: {type(error).__name__}: {printable(lines[0])}", sys.stderr)


def is_lost_connection(error: BaseException) -> bool:
    """Return whether torch says that another process is gone, and not that something is wrong here."""
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in LOST_CONNECTION)


def _root_cause(scratch: Path, failures: dict[int, Any]) -> Exception:
    """Return the error to raise: a message that a process left, or that one was killed."""
    told: list[Failure] = []
    for path in sorted(scratch.glob("failure-*.json")):
        try:
            told.append(_FAILURE.validate_python(read_json(path)))
        except (OSError, ValueError):
            continue
    for content in told:
        if not content["lost"]:
            return _rebuilt(content)
    killed = {rank: -failure.exitcode for rank, failure in failures.items() if failure.exitcode < 0}
    for rank, number in killed.items():
        return StageFailed(
            f"training process {rank} was killed by {signal.Signals(number).name} (too little memory?); "
            "the same command goes on from the last checkpoint"
        )
    lost = f" ({told[0]['message']})" if told else ""
    return StageFailed(
        f"a training process ended without a word{lost}; the same command goes on from the last checkpoint"
    )


def _rebuilt(content: Failure) -> Exception:
    """Return an error like the one that a process raised, for the command line to describe."""
    message = content["message"]
    error: Exception
    if content["type"] == "InputError":
        error = InputError(message)
    elif content["errno"] in {errno.ENOSPC, *USERS_ERRORS}:
        error = OSError(content["errno"], os.strerror(content["errno"]), content["file"])
    elif content["type"] == "MemoryError" or says_out_of_memory(message):
        error = MemoryError(message)
    elif content["type"] == "StageFailed":
        error = StageFailed(message)
    else:
        error = StageFailed(f"{content['type']}: {message} (--debug shows where)")
    error.add_note(content["traceback"])
    return error


# -- what a process that is not the first one works with


class SilentProgress(Progress):
    """Counts and shows nothing."""

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more units."""
        self.done += count

    def close(self) -> None:
        """Do nothing."""


class SilentWork(Work):
    """The work of a process whose results nobody needs: its files go to a folder that is thrown away.

    The scratch folder is that of all, because checkpoints are read there.
    """

    def __init__(self, inputs: Runner, stage: Stage, folder: Path, rank: int) -> None:
        self._shared_scratch = folder / SCRATCH
        own = self._shared_scratch / f"rank-{rank}"
        own.mkdir(parents=True, exist_ok=True)
        super().__init__(inputs, stage, own)

    def log(self, message: str) -> None:
        """Say nothing: the first process does."""

    def progress(self, total: int | None, unit: str, done: int = 0) -> Progress:
        """Return a display that shows nothing."""
        return SilentProgress(total, unit, self._stage.title, self.log, done)

    def scratch(self) -> Path:
        """Return the scratch folder of all processes."""
        return self._shared_scratch


def work_of_rank(rank: int, inputs: Runner, stage: Stage, folder: Path) -> Work:
    """Return what process number `rank` works with."""
    return Work(inputs, stage, folder) if rank == 0 else SilentWork(inputs, stage, folder, rank)
