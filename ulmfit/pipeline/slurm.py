"""`--launcher slurm`: every stage is a job of its own, submitted through submitit.

All stages are jobs, short ones too: login nodes forbid long work, and nobody knows beforehand how long a dump
takes. A stage is submitted when all its upstreams are done, so that independent stages (seeds, directions,
recipes) run side by side; those that are ready together and ask for the same are one array of jobs. The
submitting command only waits: if it ends, the jobs go on. The same command finds them again by
`runs/jobs/<stage>-<key>.json`, and waits for those that run. For a job that failed it prints where the log
is; the next command submits it again. As everywhere, a stage is done when its manifest is there; the files
that submitit pickles beside its logs are never read here.

A stage that trains in several processes gets one task per process; the tasks connect through torch's
environment variables. Before a time limit or a preemption Slurm sends a signal: training writes a checkpoint,
and the job is queued again and goes on from there, also if no command waits for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from ulmfit.pipeline.child_processes import SAFE_PYTHON, safe_children
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import is_whole_number, read_json, write_json
from ulmfit.pipeline.launch import FirstRunner, follow
from ulmfit.pipeline.process import accept_any_text, ignore_stop_signals
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.ranks import is_first_rank, is_rank
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

DEFAULT_MINUTES = 24 * 60
MOST_REQUEUES = 100
POLL_SECONDS = 5.0
SHARED_SECONDS = 60.0
"""Seconds until a file that another machine has written is visible here, at most."""
OPTION = re.compile(r"([a-z][a-z0-9_]*)=(\S(?:.*\S)?)")
GENERIC = frozenset({"timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node"})
"""submitit's names; all others are those of sbatch's options, with underscores."""
FROM_SETTINGS = {"nodes": "nodes", "tasks_per_node": "gpus", "ntasks_per_node": "gpus"}
"""Options that `--slurm` may not set, and the setting that sets each of them."""


def parse_options(options: list[str]) -> dict[str, int | str]:
    """Return the values of `--slurm KEY=VALUE` options; InputError for another form."""
    parsed: dict[str, int | str] = {}
    for option in options:
        match = OPTION.fullmatch(option)
        if match is None:
            raise InputError(
                f"--slurm {option}: expected KEY=VALUE, such as partition=gpu or timeout_min=600"
            )
        key, value = match.groups()
        if key in FROM_SETTINGS:
            setting = FROM_SETTINGS[key]
            raise InputError(
                f"--slurm {option}: set it for a stage, such as --set pretrain.{setting}={value}"
            )
        if key in parsed:
            raise InputError(f"--slurm {option}: {key} was given before, as {parsed[key]}")
        is_number = is_whole_number(value)
        if key in GENERIC and not (is_number and int(value)):
            raise InputError(f"--slurm {option}: expected a whole number above 0")
        parsed[key] = int(value) if is_number else value
    return parsed


def choose_cluster(launcher: str, options: list[str]) -> Cluster | None:
    """Return what `--launcher` and `--slurm` mean: None for this machine."""
    if launcher not in ("local", "slurm"):
        raise InputError(f"--launcher {launcher}: expected local or slurm")
    if launcher == "slurm":
        need_submitit()
        return Cluster(parse_options(options))
    if options:
        raise InputError(f"--slurm {options[0]}: only together with --launcher slurm")
    return None


@dataclass(frozen=True)
class Cluster:
    """Where jobs are submitted, and with which of submitit's parameters."""

    options: dict[str, int | str] = field(default_factory=dict)
    name: str = "slurm"
    """submitit's name of the cluster; `local` runs jobs here, for tests."""

    def parameters(self, stage: Stage) -> dict[str, Any]:
        """Return what a job for `stage` asks for."""
        wanted = stage.processes()
        tasks, nodes = (wanted.per_machine, wanted.machines) if wanted.together else (1, 1)
        chosen: dict[str, Any] = {"timeout_min": DEFAULT_MINUTES}
        for key, value in self.options.items():
            if key == "gpus_per_node" and wanted.device is None:
                continue
            chosen[key if key in GENERIC else f"slurm_{key}"] = value
        if wanted.together and wanted.device != "cpu" and (wanted.gpus > 0 or wanted.total > 1):
            chosen["gpus_per_node"] = tasks
        return {**chosen, "name": f"ulmfit-{stage.stage_name}", "nodes": nodes, "tasks_per_node": tasks}


def need_submitit() -> Any:
    """Return the module submitit; InputError where it is not installed."""
    try:
        import submitit
    except ImportError as error:
        raise InputError(
            "--launcher slurm needs submitit, which is not installed: pip install 'ulmfit[slurm]'"
        ) from error
    return submitit


def build(stages: list[Stage], runner: Runner, cluster: Cluster) -> None:
    """Build what is missing of `stages`, upstream first, each in a job; waits until all are done.

    Raises StageFailed with the place of the log of the first job that ended without a result.
    """
    if failures := build_all(stages, runner, cluster):
        more = f"; {len(failures) - 1} more jobs failed" if len(failures) > 1 else ""
        raise StageFailed(f"{failures[0]}{more}")


def build_all(stages: list[Stage], runner: Runner, cluster: Cluster) -> list[str]:
    """Build what is missing of `stages` as `build` does; return what failed, in words.

    Stages that are ready together and ask for the same are one array of jobs. What needs a stage that failed
    is left out, everything else is built.
    """
    need_submitit()
    missing = [stage for stage in stages if not runner.is_done(stage)]
    jobs: dict[Path, Any] = {}
    failures: list[str] = []
    lost: set[Path] = set()
    while missing:
        waiting = {runner.folder(stage) for stage in missing}
        above = {id(stage): {runner.folder(one) for one in stage.upstream()} for stage in missing}
        new = [one for one in missing if runner.folder(one) not in jobs and not waiting & above[id(one)]]
        if new:
            submitted, refused = _find_or_submit(new, runner, cluster)
            jobs |= submitted
            for message, group in refused.items():
                say(message)
                failures.append(message)
                lost |= {runner.folder(stage) for stage in group}
        for stage in list(missing):
            folder = runner.folder(stage)
            if folder in lost:
                missing.remove(stage)
            elif lost & above[id(stage)]:
                lost.add(folder)
                missing.remove(stage)
            elif folder in jobs and _is_over(jobs[folder]):
                missing.remove(stage)
                try:
                    _check_result(stage, runner, jobs[folder])
                except StageFailed as error:
                    say(str(error))
                    failures.append(str(error))
                    lost.add(folder)
        if missing:
            time.sleep(POLL_SECONDS if cluster.name == "slurm" else 0.2)
    return failures


def _find_or_submit(
    stages: list[Stage], runner: Runner, cluster: Cluster
) -> tuple[dict[Path, Any], dict[str, list[Stage]]]:
    """Return the jobs that build `stages`, by folder: those that run already, and new ones.

    Then the stages whose jobs the cluster refused, by what it said.
    """
    from filelock import FileLock

    (runner.runs / "jobs").mkdir(parents=True, exist_ok=True)
    (runner.runs / "locks").mkdir(exist_ok=True)
    names = {runner.folder(stage): f"{stage.stage_name}-{runner.folder(stage).name}" for stage in stages}
    jobs: dict[Path, Any] = {}
    refused: dict[str, list[Stage]] = {}
    with contextlib.ExitStack() as locks:
        # All commands take them in this order, so that no two wait for each other.
        for name in sorted(names.values()):
            locks.enter_context(FileLock(runner.runs / "locks" / f"{name}.job.lock"))
        alike: dict[str, list[Stage]] = {}
        for stage in stages:
            folder = runner.folder(stage)
            job = _noted_job(runner.runs / "jobs" / f"{names[folder]}.json", cluster)
            if job is not None and not _is_over(job):
                say(f"{stage.title}: job {job.job_id} is building {folder.name}; waiting for it")
                jobs[folder] = job
            else:
                alike.setdefault(repr(cluster.parameters(stage)), []).append(stage)
        for group in alike.values():
            try:
                submitted = _submit(group, runner, cluster, names)
            except StageFailed as error:
                refused.setdefault(str(error), []).extend(group)
                continue
            for stage, job in zip(group, submitted, strict=True):
                folder = runner.folder(stage)
                jobs[folder] = job
                where = str(job.paths.folder.resolve())
                note = {"job": job.job_id, "tasks": list(range(job.num_tasks)), "folder": where}
                write_json(runner.runs / "jobs" / f"{names[folder]}.json", note)
                say(f"{stage.title}: job {job.job_id} submitted, logs in {job.paths.folder}")
    return jobs, refused


def _submit(group: list[Stage], runner: Runner, cluster: Cluster, names: dict[Path, str]) -> list[Any]:
    """Submit stages that ask for the same: one alone as a job, several as an array.

    Raises StageFailed where the cluster refuses them.
    """
    name = names[runner.folder(group[0])]
    several = f"-and-{len(group) - 1}-more" if len(group) > 1 else ""
    executor = _executor(cluster, runner.runs / "jobs" / f"{name}{several}")
    try:
        executor.update_parameters(**cluster.parameters(group[0]))
    except (NameError, ValueError, AssertionError) as error:
        raise InputError(f"--slurm: {str(error).splitlines()[0]}") from error
    mirror = None if runner.mirror is None else runner.mirror.resolve()
    work = [StageJob(stage, runner.runs.resolve(), mirror) for stage in group]
    try:
        with safe_children():  # sbatch gives jobs the environment of the process that submits them
            if len(work) == 1:
                return [executor.submit(work[0])]
            with executor.batch():
                return [executor.submit(one) for one in work]
    except need_submitit().core.utils.FailedJobError as error:
        raise StageFailed(f"{group[0].stage_name}: the cluster refused the job: {error}") from error


def _executor(cluster: Cluster, folder: Path) -> Any:
    limits: dict[str, Any] = {f"{cluster.name}_max_num_timeout": MOST_REQUEUES}
    limits[f"{cluster.name}_python"] = shlex.join(SAFE_PYTHON)
    try:
        return need_submitit().AutoExecutor(str(folder / "%j"), cluster=cluster.name, **limits)
    except RuntimeError as error:
        raise InputError(f"--launcher slurm: {error}") from error


class Note(TypedDict):
    """A submitted job, as it is written to `runs/jobs`."""

    job: str
    tasks: list[int]
    folder: str


_NOTE = TypeAdapter(Note)


def _noted_job(note: Path, cluster: Cluster) -> Any:
    """Return the job from its file, in whatever state it is; None if there is no file."""
    try:
        content = _NOTE.validate_python(read_json(note))
    except (OSError, ValueError):
        return None
    submitit = need_submitit()
    job_class = submitit.SlurmJob if cluster.name == "slurm" else submitit.LocalJob
    return job_class(content["folder"], content["job"], content["tasks"])


def _is_over(job: Any) -> bool:
    """Return whether a job is over: it does not wait, does not run, and will not be queued again."""
    if hasattr(job, "_process") and job._process is None:
        # A local job of another process: its number is that of the process that controls it.
        return not Path(f"/proc/{job.job_id}").exists()
    return job.done(force_check=False)


def _check_result(stage: Stage, runner: Runner, job: Any) -> None:
    """Raise StageFailed unless the job that is over has built the stage."""
    deadline = time.monotonic() + (SHARED_SECONDS if job.state == "COMPLETED" else 0)
    while not runner.is_done(stage):
        if time.monotonic() >= deadline:
            raise StageFailed(
                f"{stage.stage_name}: job {job.job_id} ended without a result{_last_words(job)}; "
                f"its log is {job.paths.stderr}; the same command submits it again"
            )
        time.sleep(1)
    say(f"{stage.title}: done by job {job.job_id}")


def _last_words(job: Any) -> str:
    """Return the last line of the errors of a job's first task, in brackets."""
    try:
        lines = job.paths.stderr.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return f" (state {job.state})"
    lines = [line for line in lines if line.strip()]
    return f" ({lines[-1].strip()})" if lines else f" (state {job.state})"


# -- inside a job


@dataclass(frozen=True)
class StageJob:
    """The function that a job runs: it builds one stage, whose upstreams are done. submitit pickles it."""

    stage: Stage
    runs: Path
    mirror: Path | None

    def __call__(self) -> None:
        """Build the stage, alone or together with the job's other tasks."""
        accept_any_text()
        _enter_group()
        requeue = _StopForRequeue()
        try:
            self._build()
        except SystemExit:
            # The checkpoint is written: submitit may put the job in the queue again.
            requeue.go_on()
            raise
        finally:
            ignore_stop_signals()

    def _build(self) -> None:
        if not is_rank():
            Runner(self.runs, self.mirror).ensure(self.stage)
        elif is_first_rank():
            first = FirstRunner(self.runs, self.mirror)
            first.ensure(self.stage)
            first.finish()
        else:
            follow([self.stage], self.runs, self.mirror)

    def checkpoint(self, *arguments: Any) -> Any:
        """Return what submitit runs when the job starts again: the same, which resumes by itself."""
        return need_submitit().helpers.DelayedSubmission(self, *arguments)

    __submitit_checkpoint__ = checkpoint


def _enter_group() -> None:
    """Set torch's variables if the job has several tasks; one task alone needs no group."""
    submitit = need_submitit()
    if submitit.JobEnvironment().num_tasks > 1:
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)


class _StopForRequeue:
    """Lets training write a checkpoint before submitit's signal handler queues the job again.

    SIGTERM and SIGUSR2 both end training after the running step. submitit ignores SIGTERM, which Slurm sends
    before SIGUSR2 at a preemption, and which alone means that somebody has cancelled the job.
    """

    def __init__(self) -> None:
        from submitit.core.job_environment import JobEnvironment

        self._number = JobEnvironment._usr_sig()
        self._submitit: Callable[..., Any] = signal.getsignal(self._number)  # type: ignore[assignment]
        self._is_asked = False
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(self._number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self._is_asked = True
        os.kill(os.getpid(), signal.SIGTERM)

    def go_on(self) -> None:
        """Call submitit's handler if its signal has come."""
        if self._is_asked:
            self._submitit(self._number, None)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
