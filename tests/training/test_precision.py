"""What `precision = auto` means on machines that differ from this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stages_for_tests import tiny_classifier, tiny_pretrain

from ulmfit.pipeline.runner import Runner
from ulmfit.training import precision
from ulmfit.training.precision import gpu_generations, resolve_precision

X86 = "processor\t: 0\nflags\t\t: fpu sse avx512f {} avx512vl\nbugs\t\t: spectre_v1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd {} sve\nCPU implementer\t: 0x41\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that pretends to be on another machine."""

    def pretend(cpuinfo: str | None = None, gpus: tuple[int, ...] = ()) -> None:
        path = tmp_path / "cpuinfo"
        path.unlink(missing_ok=True)
        if cpuinfo is not None:
            path.write_text(cpuinfo)
        monkeypatch.setattr(precision, "CPUINFO", path)
        monkeypatch.setattr(precision, "gpu_generations", lambda: list(gpus))

    return pretend


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86.format("avx512_bf16"), "bf16"),
        (X86.format("amx_bf16"), "bf16"),
        (X86.format("avx512_vnni"), "fp32"),
        (X86.format("notbf16"), "fp32"),
        (ARM.format("bf16"), "bf16"),
        (ARM.format("i8mm"), "fp32"),
        ("", "fp32"),
        (None, "fp32"),
    ],
)
def test_auto_on_a_cpu(machine: Callable[..., None], cpuinfo: str | None, expected: str) -> None:
    machine(cpuinfo)
    assert resolve_precision("auto", "cpu") == resolve_precision("auto", "auto") == expected
    assert resolve_precision("fp32", "cpu") == "fp32"
    assert resolve_precision("bf16", "cpu") == "bf16"


def test_auto_on_gpus(machine: Callable[..., None]) -> None:
    machine(X86.format("sse3"), gpus=(9, 9))
    assert [resolve_precision("auto", device) for device in ("auto", "cuda:1", "cpu")] == [
        "bf16",
        "bf16",
        "fp32",
    ]
    machine(X86.format("avx512_bf16"), gpus=(7,))
    assert [resolve_precision("auto", device) for device in ("auto", "cpu")] == ["fp32", "bf16"]


class FakeLibrary(SimpleNamespace):
    """NVIDIA's management library with GPUs of given generations."""

    def __init__(self, *generations: int) -> None:
        super().__init__()
        self.generations = generations
        self.is_open = False

    def nvmlInit_v2(self) -> int:
        self.is_open = True
        return 0

    def nvmlShutdown(self) -> int:
        self.is_open = False
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.generations)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        handle._obj.value = index + 1
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any, major: Any, minor: Any) -> int:
        major._obj.value = self.generations[handle.value - 1]
        return 0


def test_gpus_are_asked_for_their_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary(9, 8)
    monkeypatch.setattr(precision.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(precision, "torch_is_built_for_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_generations() == [9, 8]
    assert not library.is_open
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_generations() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(precision, "torch_is_built_for_cuda", lambda: False)
    assert gpu_generations() == []


def test_the_build_of_torch_is_read_from_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    assert precision.torch_is_built_for_cuda() == (torch.version.cuda is not None)
    for line, expected in [("cuda: Optional[str] = '12.8'", True), ("cuda: Optional[str] = None", False)]:
        (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\nhip: Optional[str] = None\n")
        spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(precision, "find_spec", lambda name, spec=spec: spec)
        assert precision.torch_is_built_for_cuda() is expected


def test_keys_depend_on_what_auto_means(machine: Callable[..., None], tmp_path: Path) -> None:
    def keys(name: str) -> list[str]:
        runner = Runner(tmp_path / name)
        stages = [tiny_pretrain(precision=p) for p in ("auto", "fp32", "bf16")]
        return [runner.keys.key(stage) for stage in stages]

    machine(X86.format("avx512_bf16"))
    auto, fp32, bf16 = keys("new")
    assert auto == bf16 != fp32
    machine(X86.format("sse3"))
    assert keys("old") == [fp32, fp32, bf16]


def test_classifiers_stay_with_fp32_unless_told() -> None:
    assert tiny_classifier().resolved().settings.precision == "fp32"


def test_a_rerun_of_finished_stages_imports_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from stages_for_tests import tiny_pretrain\n"
        "from ulmfit.pipeline.runner import Runner\n"
        "stage = tiny_pretrain(precision='auto'); Runner(Path(sys.argv[1])).build(stage)\n"
        "print(sorted({'torch', 'fastai', 'pandas'} & set(sys.modules)))"
    )
    folder = Runner(tmp_path).build(tiny_pretrain(precision="auto"))
    built = (folder / "manifest.json").stat().st_mtime_ns
    again = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.splitlines() == ["[]"]
    assert (folder / "manifest.json").stat().st_mtime_ns == built
