"""A step imports steps to its left, never to its right; light modules stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ulmfit"
STEPS = ["datasets", "corpus", "tokens", "language_model", "classifier", "evaluation"]
SHARED = {
    "assets",
    "child_processes",
    "download",
    "errors",
    "files",
    "printing",
    "progress",
    "provenance",
    "settings",
    "stage",
}
SHARED |= {"manifest", "process", "streams", "training", "white_space"}
TOP = {"bench", "cli", "cli_errors", "cli_options", "driver", "error_report", "estimates", "experiment"}
TOP |= {"launch", "pages", "presets", "rates", "recipe"}
TOP |= {"results", "rows", "runner", "scoring", "slurm", "verify"}


def imported(path: Path) -> set[str]:
    """Return the parts of the package that a module imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ulmfit"):
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("ulmfit.")}
    return found


def part(path: Path) -> str:
    """Return the step or module of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_left(path: Path) -> None:
    own = part(path)
    others = imported(path) - {own, "__version__"}
    if own in STEPS:
        allowed = SHARED | set(STEPS[: STEPS.index(own)])
    elif own == "toy":
        allowed = SHARED | {"datasets", "corpus"}
    elif own in SHARED:
        allowed = SHARED
    else:
        assert own in TOP | {"__init__"}, f"{own} has no place in the layout yet: give it one here"
        allowed = SHARED | TOP | set(STEPS) | {"toy"}
    assert others <= allowed, f"{own} imports {sorted(others - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short_and_import_by_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    assert "import *" not in text


def test_recipes_and_commands_load_without_heavy_libraries() -> None:
    heavy = ["torch", "fastai", "pandas", "pyarrow", "sklearn", "matplotlib", "transformers"]
    program = (
        "import sys; import ulmfit.cli, ulmfit.experiments.driver, ulmfit.datasets.given_labels; "
        "import ulmfit.classifier.pseudo_labels, ulmfit.evaluation.transformer_stages; "
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
