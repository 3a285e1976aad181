"""Shows minimal pairs to language models and to two floors. Shapes: N pairs, M models."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ulmfit.corpus.stored import stored_documents
from ulmfit.evaluation.bootstrap import RESAMPLES, document_weights, percentile_interval
from ulmfit.evaluation.grammar_card import ALL, Construction, GrammarSummary, PairScore
from ulmfit.evaluation.minimal_pairs import GrammarCard
from ulmfit.evaluation.pair_files import Pair, stored_pairs
from ulmfit.language_model.bundled import BundledModel
from ulmfit.language_model.compute import choose_compute
from ulmfit.language_model.evaluate import document_losses
from ulmfit.language_model.folder import load_for_tokenizer
from ulmfit.language_model.settings import Dropouts
from ulmfit.language_model.stages import ImportedModel, Pretrain
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.record_part import part_of
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray, id_counts, token_dtype
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.tokenizer import Tokenizer
from ulmfit.training.distribution import choose_device

RESULT = "grammar.json"
ORDER = 5
"""Characters of the n-grams."""
BATCH = 64
FLOORS = ("unigrams of pieces", f"character {ORDER}-grams")


def build(stage: GrammarCard, work: Work) -> None:
    """Build a `GrammarCard` stage."""
    pairs = stored_pairs(work.input(stage.pairs))
    tokenizer = load_tokenizer(work.input(stage.tokenizer))
    sentences = [sentence for pair in pairs for sentence in (pair.right, pair.wrong)]
    encoded = tokenizer.encode(sentences)
    by_direction = {
        one.direction: _log_probabilities(one, encoded, tokenizer, work) for one in stage.language_models
    }
    names = [f"language model, {direction}" for direction in by_direction]
    scores = list(by_direction.values())
    if len(scores) > 1:
        names.append(f"language model, {' + '.join(by_direction)}")
        scores.append(np.sum(scores, axis=0))
    texts = _first_texts(work.input(stage.corpus), stage.characters)
    scores.append(unigram_scores(tokenizer.encode(texts), encoded, tokenizer.size))
    scores.append(Characters(texts).scores(sentences))
    won = np.stack([_won(one) for one in scores], axis=1)
    summary = summarised(stage.pairs.source, (*names, *FLOORS), pairs, won)
    write_json(work.folder / RESULT, summary.model_dump(mode="json"))
    whole = summary.constructions[-1]
    shares = [
        f"{name} {100 * one.accuracy:.1f} %" for name, one in zip(summary.models, whole.scores, strict=True)
    ]
    work.log(f"{whole.pairs:,} pairs: {', '.join(shares)}")


def read_grammar(folder: Path) -> GrammarSummary:
    """Read the card of a finished stage."""
    return part_of(GrammarSummary, read_json(folder / RESULT), str(folder / RESULT))


def _log_probabilities(
    stage: Pretrain | ImportedModel | BundledModel,
    encoded: Sequence[np.ndarray],
    tokenizer: Tokenizer,
    work: Work,
) -> np.ndarray:
    """Return the log-probability of every sentence (2 N,), behind the mark of its beginning."""
    device = choose_device("auto")
    model, _ = load_for_tokenizer(stage, tokenizer, Dropouts(), work)
    model.to(device)
    model.set_compute(choose_compute("fp32", "auto", device, work.log))
    lengths = np.array([len(one) for one in encoded])
    tokens = np.concatenate(encoded).astype(token_dtype(tokenizer.size))
    array = TokenArray(tokens, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
    progress = work.progress(len(tokens), "tokens scored")
    losses = document_losses(
        model,
        array,
        BATCH,
        backward=stage.direction == "backward",
        order=stage.backward_order,
        advance=progress.advance,
    )
    progress.close()
    return -losses


def _won(scores: np.ndarray) -> np.ndarray:
    """Return 1 for each pair (N,) whose right sentence scores higher, 0.5 where both are equal, else 0."""
    right, wrong = scores[::2], scores[1::2]
    return np.where(right == wrong, 0.5, right > wrong)


def summarised(source: str, models: Sequence[str], pairs: Sequence[Pair], won: np.ndarray) -> GrammarSummary:
    """Return the card of what models won (N, M), by construction and over all pairs."""
    places = defaultdict(list)
    for place, pair in enumerate(pairs):
        places[pair.construction].append(place)
    lines = [(name, won[places[name]]) for name in sorted(places)]
    return GrammarSummary(
        source=source,
        models=tuple(models),
        constructions=tuple(_construction(name, values) for name, values in [*lines, (ALL, won)]),
    )


def _construction(name: str, won: np.ndarray) -> Construction:
    samples = [weights @ won / len(won) for weights in document_weights(len(won), RESAMPLES)]
    low, high = np.clip(percentile_interval(np.concatenate(samples)), 0, 1)
    scores = tuple(
        PairScore(accuracy=float(mean), interval=(float(low[place]), float(high[place])))
        for place, mean in enumerate(won.mean(axis=0))
    )
    return Construction(name=name, pairs=len(won), scores=scores)


# --- Floors -------------------------------------------------------------------------------------------------


def _first_texts(corpus: Path, characters: int) -> list[str]:
    """Return the first training documents of a corpus, of so many characters together."""
    found: list[str] = []
    for document in stored_documents(corpus):
        if document.split == "train":
            found.append(document.text[:characters])
            characters -= len(document.text)
        if characters <= 0:
            break
    return found


def unigram_scores(train: Iterable[np.ndarray], encoded: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return the log-probability of every sentence whose pieces are drawn one by one; counts plus one."""
    counts = id_counts(np.concatenate([np.zeros(0, np.int64), *train]), size) + 1
    logarithms = np.log(counts / counts.sum())
    return np.array([logarithms[ids[1:]].sum() for ids in encoded])


class Characters:
    """A character 5-gram model with interpolated Witten-Bell smoothing (Chen & Goodman 1999, section 2.6)."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts: list[Counter[str]] = [Counter() for _ in range(ORDER)]
        for text in texts:
            framed = _framed(text)
            for order, counts in enumerate(self._counts, 1):
                counts.update(framed[end - order : end] for end in range(ORDER, len(framed) + 1))
        self._totals: list[Counter[str]] = [Counter() for _ in range(ORDER)]
        self._kinds: list[Counter[str]] = [Counter() for _ in range(ORDER)]
        for counts, totals, kinds in zip(self._counts, self._totals, self._kinds, strict=True):
            for gram, count in counts.items():
                totals[gram[:-1]] += count
                kinds[gram[:-1]] += 1
        self._uniform = 1 / (len(self._counts[0]) + 1)

    def scores(self, sentences: Iterable[str]) -> np.ndarray:
        """Return the log-probability of every sentence."""
        return np.array([self._score(_framed(sentence)) for sentence in sentences])

    def _score(self, framed: str) -> float:
        return math.fsum(
            math.log(self._probability(framed[end - ORDER : end])) for end in range(ORDER, len(framed) + 1)
        )

    def _probability(self, gram: str) -> float:
        """Return the probability of the last character behind the others."""
        found = self._uniform
        for order in range(1, ORDER + 1):
            part = gram[-order:]
            total, kinds = self._totals[order - 1][part[:-1]], self._kinds[order - 1][part[:-1]]
            if total:
                found = (self._counts[order - 1][part] + kinds * found) / (total + kinds)
        return found


def _framed(text: str) -> str:
    """Return a text behind marks of its beginning, which are no characters of texts."""
    return "\0" * (ORDER - 1) + text
