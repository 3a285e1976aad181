"""A folder imports those above it; inside a folder imports make no circle; light modules stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ulmfit"
FOLDERS = [
    "pipeline",
    "training",
    "datasets",
    "corpus",
    "tokens",
    "language_model",
    "classifier",
    "evaluation",
    "report",
    "experiments",
    "bundle",
    "serve",
    "toy",
    "bench",
    "cli",
]
"""In this order; a folder imports those before it."""
FRONT = {"__init__": set(), "__main__": {"cli"}}
"""Modules beside the folders, and the folders that each imports."""
OLD_PLACES = {"recipe": "experiments", "presets": "experiments", "assets": "pipeline", "errors": "pipeline"}
"""Modules that older recipes import, and the folders that have the code now; nothing here imports them."""
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def imports(path: Path, *, of_builds: bool = True) -> Iterator[str]:
    """Yield the modules of the package that a module imports: anywhere in it, and for types alone too.

    `of_builds=False` leaves out what the method `build` of a stage imports, which is the work it stands for.
    """
    for node in _walk(ast.parse(path.read_text(encoding="utf-8")), of_builds):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("ulmfit."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ulmfit":
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = inner in NAMES or f"{inner}.__init__" in NAMES
                yield inner if is_module else node.module


def _walk(tree: ast.AST, of_builds: bool) -> Iterator[ast.AST]:
    yield tree
    for child in ast.iter_child_nodes(tree):
        if of_builds or not (isinstance(child, ast.FunctionDef) and child.name == "build"):
            yield from _walk(child, of_builds)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_folder_imports_only_folders_above_it(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    others = {name.split(".")[1] for name in imports(path) if "." in name} - {own}
    if path.parent == PACKAGE:
        expected = {OLD_PLACES[own]} if own in OLD_PLACES else FRONT[own]
        assert others == expected
    else:
        assert own in FOLDERS, f"{own} has no place in the layout yet: give it one here"
        below = sorted(others - set(FOLDERS[: FOLDERS.index(own)]))
        assert not below, f"{path.relative_to(PACKAGE)} imports {below}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_inside_a_folder_imports_make_no_circle(folder: str) -> None:
    graph = {}
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        found = {name if name in NAMES else f"{name}.__init__" for name in imports(path, of_builds=False)}
        graph[module_name(path)] = {name for name in found if name.startswith(f"ulmfit.{folder}.")}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short_and_import_by_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    assert "import *" not in text


def test_recipes_and_commands_load_without_heavy_libraries() -> None:
    heavy = ["torch", "fastai", "pandas", "pyarrow", "sklearn", "matplotlib", "transformers", "uvicorn"]
    program = (
        "import sys; import ulmfit.cli, ulmfit.experiments.driver, ulmfit.datasets.given_labels; "
        "import ulmfit.classifier.pseudo_labels, ulmfit.evaluation.transformer_stages; "
        "from ulmfit import Recipe, LabelledFiles, WikipediaCorpus; "
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_front_door_opens_to_every_name_it_lists() -> None:
    import ulmfit

    assert {name: getattr(ulmfit, name).__name__ for name in ulmfit.PUBLIC} == {n: n for n in ulmfit.PUBLIC}
    assert set(ulmfit.PUBLIC) <= set(dir(ulmfit))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ulmfit.nothing  # noqa: B018
