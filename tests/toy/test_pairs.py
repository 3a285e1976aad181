"""Minimal pairs of the invented language."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.evaluation.pair_files import stored_pairs
from ulmfit.pipeline.runner import Runner
from ulmfit.toy.grammar import BACK, FRONT
from ulmfit.toy.pairs import CONSTRUCTIONS, pairs
from ulmfit.toy.stages import ToyPairs

MADE = pairs(seed=0, count=20)


def words(sentence: str) -> list[str]:
    return sentence.lower().rstrip(".").split()


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_each_construction_has_as_many_pairs_that_differ_in_one_word(construction: str) -> None:
    found = [pair for pair in MADE if pair.construction == construction]
    assert len(found) == len({pair.right for pair in found}) == 20
    for pair in found:
        differing = [
            one for one in zip(words(pair.right), words(pair.wrong), strict=True) if one[0] != one[1]
        ]
        assert len(differing) == 1
        right, wrong = differing[0]
        if construction == "case":
            assert wrong.endswith(("on", "ön")) and right.endswith("t")
        if construction == "vowel harmony":
            assert not (set(right) & set(BACK) and set(right) & set(FRONT))
            assert len(right) == len(wrong)
        if construction == "possession":
            assert len(wrong) <= len(right)


def test_pairs_depend_on_the_seed_alone(tmp_path: Path) -> None:
    assert pairs(0, 5) == pairs(0, 5) != pairs(1, 5)
    stage = ToyPairs(pairs=5)
    assert stored_pairs(Runner(tmp_path).build(stage)) == pairs(0, 5)
