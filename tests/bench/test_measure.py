"""Programs are measured in processes of their own, and nothing of them stays behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ulmfit.bench import measure as module
from ulmfit.bench.measure import Program, anonymous_mebibytes, measure, measure_memory
from ulmfit.pipeline.errors import StageFailed


def program(code: str, inspect=lambda folder, output: {}) -> Program:
    return Program("test", (sys.executable, "-c", code), inspect)


def test_figures_come_from_the_folder_and_the_output(tmp_path: Path) -> None:
    def inspect(folder: Path, output: str) -> dict[str, float]:
        return {"size": (folder / "out").stat().st_size, "said": float(output)}

    run = measure(program("open('out', 'w').write('abc'); print(7)", inspect), tmp_path / "run")
    assert run.figures == {"size": 3, "said": 7}
    assert not list(tmp_path.iterdir())


def test_a_program_may_have_a_clock_of_its_own(tmp_path: Path) -> None:
    run = measure(program("", lambda folder, output: {"seconds": 0.125, "tokens": 3}), tmp_path / "run")
    assert run.seconds == 0.125
    assert run.figures == {"tokens": 3}


def test_time_is_that_of_all_its_processes(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; [subprocess.run([sys.executable, '-c', {spin!r}]) for _ in 'ab']"
    run = measure(program(code), tmp_path / "run")
    assert run.cpu_seconds >= 0.6
    assert run.seconds >= 0.3


def test_other_load_is_what_the_cores_did_besides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([100.0, 150.0])
    monkeypatch.setattr(module, "busy_seconds", lambda: next(busy))
    run = measure(program(""), tmp_path / "run")
    assert run.other_load == pytest.approx((50 - run.cpu_seconds) / run.seconds)
    monkeypatch.setattr(module, "busy_seconds", lambda: 1.0)
    assert measure(program(""), tmp_path / "run").other_load == 0
    monkeypatch.setattr(module, "busy_seconds", lambda: None)
    assert measure(program(""), tmp_path / "run").other_load is None


def test_another_process_is_other_load(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        run = measure(program("import time; time.sleep(1.0)"), tmp_path / "run")
        other.kill()
    assert run.other_load is not None
    assert run.other_load > 0.2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no\\nthis way')", "test failed with exit status 1: this way"),
        ("import sys; sys.exit(3)", "test failed with exit status 3: it says nothing"),
    ],
)
def test_a_failure_is_one_line(code: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StageFailed) as caught:
        measure(program(code), tmp_path / "run")
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_a_program_that_does_not_end_is_stopped_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 1)
    mark = tmp_path / "alive"
    child = f"import time, pathlib\nwhile True: pathlib.Path({str(mark)!r}).touch(); time.sleep(0.01)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(StageFailed, match="did not end within 1 s"):
        measure(program(code), tmp_path / "run")
    mark.unlink()
    time.sleep(0.2)
    assert not mark.exists()


WITH_CHILD = """
import os, time
from ulmfit.bench.measure import ready
held = bytearray(os.urandom(1)) * (20 << 20)
ready()
more = bytearray(b"x") * (40 << 20)
if os.fork() == 0:
    time.sleep(0.5)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc")
def test_memory_above_the_base_counts_shared_pages_once(tmp_path: Path) -> None:
    memory = measure_memory(program(WITH_CHILD), tmp_path / "run")
    assert 20 < memory.base < 60
    # Processes are not looked at in one instant: a page may be seen twice, but hardly all of the 60 MiB.
    assert 39 < memory.peak - memory.base < 80
    with pytest.raises(StageFailed, match="did not say when it was ready, but 'hello'"):
        measure_memory(program("print('hello')"), tmp_path / "run")


def test_memory_of_a_process_that_has_ended_is_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert anonymous_mebibytes(ended.pid) == 0
