"""Modules that lie in the current folder are never run by a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ulmfit.pipeline.child_processes import SAFE_PATH, safe_children, safe_environment, safe_path

PROGRAM = """
import multiprocessing, sys
from ulmfit.pipeline import child_processes
if __name__ == "__main__":
    with child_processes.safe_children():
        child = multiprocessing.get_context("spawn").Process(target=sys.exit)
        child.start()
        child.join()
    print(child.exitcode)
"""
EXTRACTION = """
import sys
from ulmfit.cli import main
sys.argv[1:] = ["extract", "dump.xml", "out", "--engine", "fast", "--workers", "1"]
main()
"""
DUMP = """<mediawiki xml:lang="de"><siteinfo><dbname>dewiki</dbname><base>https://de.wikipedia.org/wiki/H</base>
<namespaces><namespace key="0" case="first-letter" /></namespaces></siteinfo>
<page><title>Ei</title><ns>0</ns><id>1</id><revision><id>1</id><text>Ein Ei ist rund.</text></revision></page>
</mediawiki>
"""
HOSTILE = (
    "json",
    "multiprocessing",
    "queue",
    "resource",
    "runpy",
    "ulmfit",
    "lxml",
    "pyarrow",
    "wikiextractor",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files that leave a trace when they are imported."""
    here = tmp_path / "here"
    here.mkdir()
    for name in HOSTILE:
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)\n")
    (here / "dump.xml").write_text(DUMP)
    return here


def run(folder: Path, program: str) -> str:
    """Run a program that lies elsewhere, as commands that were installed do."""
    path = folder.parent / "program" / "start.py"
    path.parent.mkdir()
    path.write_text(program)
    environment = {name: value for name, value in os.environ.items() if name != SAFE_PATH}
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert not (folder.parent / "ran").exists(), (folder.parent / "ran").read_text()
    return done.stdout


def test_spawned_processes_import_nothing_from_the_current_folder(folder: Path) -> None:
    assert run(folder, PROGRAM).strip() == "0"


def test_workers_of_the_fast_engine_import_nothing_from_the_current_folder(folder: Path) -> None:
    run(folder, EXTRACTION)
    assert (folder / "out" / "documents.parquet").exists()


def test_the_path_of_a_child_leaves_the_current_folder_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = str(Path(__file__).parents[2])
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(tmp_path / "." / "x" / ".."), "/other"])
    assert safe_path() == ["/other", package]
    monkeypatch.chdir(package)
    monkeypatch.setattr(sys, "path", [package, "/other"])
    assert safe_path() == ["/other", package], "a checkout is found, after everything else"


def test_the_switch_reaches_the_children_of_one_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SAFE_PATH, raising=False)
    with safe_children():
        assert os.environ[SAFE_PATH] == "1"
    assert SAFE_PATH not in os.environ
    assert safe_environment({"a": "b"}) == {"a": "b", SAFE_PATH: "1"}


def test_ranks_are_started_with_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed.launcher import api

    from ulmfit.pipeline import launch

    seen: list[str | None] = []

    def elastic_launch(config: object, work: object):
        def start(*arguments: object) -> dict[int, dict]:
            seen.append(os.environ.get(SAFE_PATH))
            return {0: {"warnings": [], "measures": {}, "machine": {}}}

        return start

    class Work:
        folder, warnings, measures = tmp_path, [], {}
        scratch = staticmethod(lambda: tmp_path)
        log = record_machine = staticmethod(lambda value: None)

    class Runner:
        runs = mirror = tmp_path

    monkeypatch.delenv(SAFE_PATH, raising=False)
    monkeypatch.setattr(api, "elastic_launch", elastic_launch)
    launch.launch(None, Work(), 2, Runner())  # type: ignore[arg-type]
    assert seen == ["1"]


def test_jobs_of_a_cluster_are_started_with_the_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    from ulmfit.pipeline.slurm import Cluster, _executor

    command = _executor(Cluster(name="local"), tmp_path)._executor._submitit_command_str
    assert command.split()[:4] == [sys.executable, "-P", "-u", "-m"]
