"""Whatever happens to a bundle: a clear error in one line, or the same predictions; no code is run."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from bundles_for_tests import Made

from ulmfit import TextClassifier
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.sums import write_sums

TEXTS = ["kalomi dusapo", "rilone", ""]
VALUES: list[Any] = [None, -1, 0, 1.5, 10**9, "", "x", [], {}, True, ["no"], "../../etc/passwd", 10**400]


def damaged_bytes(chance: random.Random, folder: Path) -> None:
    """Change, cut or lengthen one file."""
    path = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    content = bytearray(path.read_bytes())
    kind = chance.randrange(4)
    if kind == 0 and content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[chance.randrange(len(content)) :]
    elif kind == 2:
        content += bytes(chance.randrange(256) for _ in range(chance.randrange(1, 50)))
    else:
        place = chance.randrange(len(content))
        content[place : place + 20] = b"\x80\x04cos\nsystem\n(Vtrue\ntR."
    path.write_bytes(content)


def lost_file(chance: random.Random, folder: Path) -> None:
    """Remove one file, or put one in another's place."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    first, second = chance.sample(files, 2)
    if chance.randrange(2):
        first.unlink()
    else:
        shutil.copyfile(first, second)


def other_description(chance: random.Random, folder: Path) -> None:
    """Change a field of bundle.json, or of tokenizer.json, with sums that fit."""
    path = folder / chance.choice(["bundle.json", "tokenizer/tokenizer.json"])
    content = read_json(path)
    inside = content
    while isinstance(inside, (dict, list)) and inside:
        place = chance.choice(sorted(inside)) if isinstance(inside, dict) else chance.randrange(len(inside))
        if isinstance(inside[place], (dict, list)) and chance.randrange(2):
            inside = inside[place]
            continue
        if chance.randrange(4) == 0:
            del inside[place]
        else:
            inside[place] = chance.choice(VALUES)
        break
    write_json(path, content)
    write_sums(folder)


MUTATIONS: list[Callable[[random.Random, Path], None]] = [damaged_bytes, lost_file, other_description]


def check(original: Path, expected: numpy.ndarray, seed: int, folder: Path) -> None:
    chance = random.Random(seed)
    shutil.copytree(original, folder)
    mutate = chance.choice(MUTATIONS)
    mutate(chance, folder)
    try:
        classifier = TextClassifier.load(folder, device="cpu", engine="plain")
        found = classifier.values(TEXTS)
        classifier.chosen(found)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        if mutate is other_description:
            # Sums that fit make another bundle of it: its predictions are some, of the shape it says.
            assert numpy.isfinite(found).all() and len(found) == len(TEXTS)
        else:
            numpy.testing.assert_array_equal(found, expected)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def small(single_label: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, numpy.ndarray]:
    """Return a bundle of one model, and its predictions."""
    folder = single_label.write(tmp_path_factory.mktemp("one") / "bundle", row="ULMFiT, forward", seed=0)
    return folder, TextClassifier.load(folder, device="cpu", engine="plain").values(TEXTS)


def test_some_mutations(small: tuple[Path, numpy.ndarray], tmp_path: Path) -> None:
    for seed in range(60):
        check(*small, seed, tmp_path / "mutant")


@pytest.mark.soak
def test_a_thousand_mutations(small: tuple[Path, numpy.ndarray], tmp_path: Path) -> None:
    for seed in range(1_000):
        check(*small, seed, tmp_path / "mutant")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"format_version": 2}, "has format_version 2, this program reads 1"),
        ({"kind": "zebra"}, "kind 'zebra': expected language_model or classifier"),
        ({"later_field": 1}, "later_field: there is no such field"),
        ({"labels": ["no", "yes", "maybe"]}, r"has shape \(2, 50\)|too few"),
        ({"labels": ["no", "no"]}, "one of them stands twice"),
        ({"vocabulary": "0" * 64}, "has other pieces"),
        ({"architecture": {"hidden_size": 10**7}}, "too few for the"),
        ({"architecture": {"layers": 10**7}}, "expected 100 at most"),
        ({"members": [{"file": "../model.safetensors", "direction": "forward"}]}, "members.0.file"),
        ({"temperature": 0}, "temperature: expected more than 0"),
        ({"metric": "pearson"}, "does not fit task single_label"),
    ],
)
def test_descriptions_that_do_not_fit(
    small: tuple[Path, numpy.ndarray], tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(small[0], folder)
    write_json(folder / "bundle.json", read_json(folder / "bundle.json") | change)
    write_sums(folder)
    with pytest.raises(InputError, match=fault):
        TextClassifier.load(folder, device="cpu")


def test_an_altered_file_is_named(small: tuple[Path, numpy.ndarray], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(small[0], folder)
    content = json.loads((folder / "bundle.json").read_text("utf-8"))
    (folder / "bundle.json").write_text(json.dumps(content | {"temperature": 9.0}), "utf-8")
    with pytest.raises(InputError, match=r"bundle\.json is not the file that SHA256SUMS names"):
        TextClassifier.load(folder)
    with pytest.raises(InputError, match="is no bundle"):
        TextClassifier.load(tmp_path)
