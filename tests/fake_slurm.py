"""Slurm's commands for tests, which run the jobs here: sbatch, srun, sacct, scontrol.

Jobs and arrays of jobs begin at once, in the background. A job that is requeued begins again when it ends.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = "FAKE_SLURM_FOLDER"
"""Environment variable: where the state of the jobs is kept."""
REFUSED = "FAKE_SLURM_REFUSED"
"""Environment variable: name of the jobs that are refused; empty: none is."""


def install(folder: Path) -> dict[str, str]:
    """Write the commands into `folder`, and return the environment in which they are found."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        program = programs / name
        command = shlex.join([sys.executable, str(Path(__file__).resolve()), name])
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
    return {FOLDER: str(folder), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def state() -> Path:
    return Path(os.environ[FOLDER])


def sbatch(script: str) -> None:
    text = Path(script).read_text(encoding="utf-8")
    if (refused := os.environ.get(REFUSED)) and f"--job-name={refused}\n" in text:
        sys.exit("sbatch: error: this job is not allowed")
    job = str(len(list(state().glob("*.sh"))) + 1)
    kept = state() / f"{job}.sh"
    kept.write_text(text, encoding="utf-8")
    array = re.search(r"--array=0-(\d+)", text)
    for index in range(int(array[1]) + 1) if array else [None]:
        name = job if index is None else f"{job}_{index}"
        begin(kept, name)
    print(f"Submitted batch job {job}")


def begin(script: Path, name: str) -> None:
    job, _, index = name.partition("_")
    environment = {
        **os.environ,
        "SLURM_JOB_ID": name.replace("_", "00"),
        "SLURM_NTASKS": "1",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_JOB_NODELIST": "localhost",
        "FAKE_SLURM_NAME": name,
    }
    if index:
        environment |= {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": index}
    else:
        environment["SLURM_JOB_ID"] = job
    runner = [sys.executable, __file__, "job", str(script), name]
    quiet = subprocess.DEVNULL
    subprocess.Popen(runner, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)


def job(script: str, name: str) -> None:
    states = state() / f"{name}.state"
    while True:
        states.write_text("RUNNING")
        again = state() / f"{name}.requeue"
        again.unlink(missing_ok=True)
        ended = subprocess.run(["bash", script], check=False).returncode
        if not again.exists():
            states.write_text("FAILED" if ended else "COMPLETED")
            return


def srun(*arguments: str) -> None:
    rest, files = list(arguments), {}
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            files[option] = named(rest.pop(0))
    for path in files.values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(files["--output"], "a") as output, open(files["--error"], "a") as errors:
        sys.exit(subprocess.run(rest, stdout=output, stderr=errors, check=False).returncode)


def named(pattern: str) -> str:
    name = os.environ["FAKE_SLURM_NAME"]
    first, _, index = name.partition("_")
    return pattern.replace("%j", name).replace("%A", first).replace("%a", index).replace("%t", "0")


def sacct(*arguments: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(state().glob("*.state")):
        print(f"{path.stem}|{path.read_text() or 'RUNNING'}|localhost")


def scontrol(what: str, *arguments: str) -> None:
    if what == "requeue":
        (state() / f"{os.environ['FAKE_SLURM_NAME']}.requeue").touch()
    elif what == "show":
        print("localhost")


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "sacct": sacct, "scontrol": scontrol, "job": job}[sys.argv[1]](
        *sys.argv[2:]
    )
