"""`ulmfit bench serve` on a tiny classifier: what it measures, and that it would notice a lost answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy
import pytest
from serve.running import running
from untrained_bundles import make_bundle, make_tokenizer

from ulmfit import TextClassifier
from ulmfit.bench import serve, serve_program
from ulmfit.bench.run import Options, bench
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.serve.settings import ServeSettings


def test_every_request_is_answered_under_overload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_bundle(tmp_path / "bundle", make_tokenizer(tmp_path / "runs"))
    classifier = TextClassifier.load(folder, device="cpu")
    texts = serve_program.texts_of(12)
    expected = classifier.predict(texts)
    values = TextClassifier.values

    def after_a_refusal(self: TextClassifier, texts: list[str]) -> numpy.ndarray:
        service.wait_for('status="429"')
        return values(self, texts)

    monkeypatch.setattr(TextClassifier, "values", after_a_refusal)
    with running(classifier, ServeSettings(most_waiting=1, most_batched=1)) as service:
        seen = asyncio.run(serve_program.asked(service.port, texts, 6))
    assert sorted(seen.answers) == list(range(12))
    assert [seen.answers[number]["label"] for number in range(12)] == expected
    assert seen.refused > 0
    assert len(seen.seconds) == 12


def test_the_first_fault_is_told_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: TextClassifier, texts: list[str]) -> numpy.ndarray:
        raise RuntimeError

    folder = make_bundle(tmp_path / "bundle", make_tokenizer(tmp_path / "runs"))
    monkeypatch.setattr(TextClassifier, "values", fails)
    with (
        running(TextClassifier.load(folder, device="cpu"), ServeSettings()) as service,
        pytest.raises(StageFailed, match="the service answered 500"),
    ):
        asyncio.run(serve_program.asked(service.port, ["ka"] * 4, 2))


@pytest.mark.soak
def test_the_bench_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "CONNECTIONS", (1, 3))
    bundle = make_bundle(tmp_path / "bundle", make_tokenizer(tmp_path / "runs"))
    report = bench("serve", Options(bundle=bundle, steps=50, repetitions=1), lambda line: None)
    assert [case["case"] for case in report.cases] == [
        "1 connection",
        "3 connections",
        "3 connections, 8 may wait",
    ]
    assert [case["figures"]["ours"]["lost"] for case in report.cases] == [0, 0, 0]
    assert "p99 ms" in report.table


def test_what_is_lost_or_another_answer_is_noticed() -> None:
    answer = {"probabilities": {"no": 0.25, "yes": 0.75}}
    other = {"probabilities": {"no": 0.26, "yes": 0.74}}
    serve_program.check({0: answer, 1: answer}, {0: answer}, 2)
    with pytest.raises(StageFailed, match="1 of 2 requests were lost"):
        serve_program.check({0: answer}, {0: answer}, 2)
    with pytest.raises(StageFailed, match="request 0 has another answer than its text alone"):
        serve_program.check({0: other}, {0: answer}, 1)


def test_a_bundle_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bench serve needs --bundle FOLDER"):
        bench("serve", Options(), lambda line: None)
    with pytest.raises(InputError, match="is no bundle"):
        bench("serve", Options(bundle=tmp_path), lambda line: None)
