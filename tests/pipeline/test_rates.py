"""Remembered rates: of this machine and no other, and never more than a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulmfit.pipeline import rates as module
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.load import busy_advice
from ulmfit.pipeline.rates import Rates, this_machine


def test_a_rate_is_measured_once(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "rates.json"
    asked = []
    for _ in range(2):
        assert Rates(path).measure("encode", lambda: asked.append(1) or 5.0) == 5.0  # type: ignore[func-returns-value]
    assert asked == [1] and Rates(path).get("encode") == 5.0
    assert Rates(path).get("extract") is None


def test_rates_of_another_machine_torch_or_number_of_threads_are_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rates.json"
    Rates(path).measure("encode", lambda: 5.0)
    for name, value in (("torch", "0.0"), ("processor", "another"), ("OMP_NUM_THREADS", "77")):
        changed = {**this_machine(), name: value}
        monkeypatch.setattr(module, "this_machine", lambda changed=changed: changed)
        assert Rates(path).get("encode") is None
        monkeypatch.undo()
    assert Rates(path).get("encode") == 5.0


@pytest.mark.parametrize("content", ["{", "[]", '{"machine": 1}', '{"rates": {"encode": "fast"}}'])
def test_a_damaged_cache_is_empty(content: str, tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(content)
    assert Rates(path).get("encode") is None
    write_json(path, {"machine": this_machine(), "rates": {"encode": -1}})
    assert Rates(path).get("encode") is None
    Rates(path).measure("encode", lambda: 2.0)
    assert read_json(path)["rates"] == {"encode": 2.0}


def test_a_busy_machine_is_told_with_what_helps() -> None:
    assert busy_advice(0.5, 2, {}) == busy_advice(2.0, 2, {}) == ""
    assert "load 7.0 on 2 cores" in busy_advice(7, 2, {}) and "OMP_NUM_THREADS=1" in busy_advice(7, 2, {})
    assert "OMP_NUM_THREADS" not in busy_advice(7, 2, {"OMP_NUM_THREADS": "1"})
