"""`ulmfit doctor` names what is here and what is missing, whatever is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ulmfit.cli import doctor
from ulmfit.cli.app import app
from ulmfit.language_model.engines import compiled


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise compiled.KernelsUnavailable("no C++ compiler was found; install one or set CXX")

    monkeypatch.setattr(compiled, "kernels", unavailable)


def facts(runs: Path) -> dict[str, str]:
    """Run the command; return its lines by their first word."""
    done = CliRunner().invoke(app, ["doctor", "--runs", str(runs)], catch_exceptions=False)
    assert done.exit_code == 0
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return {name: text for name, text in lines}


def test_every_fact_is_one_line(tmp_path: Path) -> None:
    found = facts(tmp_path / "not" / "there")
    expected = ["ulmfit", "packages", "processor", "device", "threads", "compiler", "disk", "mirror"]
    assert list(found) == [*expected, *doctor.EXTRAS]
    assert "torch 2." in found["packages"] and "missing" not in found["packages"]
    assert found["device"].startswith(("cpu, computes in ", "cuda, computes in "))
    assert found["compiler"].endswith("language models are trained by plain torch, more slowly")
    free = shutil.disk_usage(tmp_path).free / 1e9
    assert float(found["disk"].split(" GB free for ")[0]) == pytest.approx(free, abs=5)
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_missing_extra_says_what_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "slurm", ("no-such-package", "ulmfit run --launcher slurm"))
    expected = "missing, needed by ulmfit run --launcher slurm: pip install 'ulmfit[slurm]'"
    assert facts(tmp_path)["slurm"] == expected


def test_a_library_that_does_not_import_hides_no_other_fact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> bool:
        raise RuntimeError("driver too old\nmore")

    monkeypatch.setattr("torch.cuda.is_available", broken)
    found = facts(tmp_path)
    assert found["device"] == "not found out: RuntimeError: driver too old"
    assert "in torch" in found["threads"]
