"""Sampling of pieces: the distributions by enumeration, exact texts, the same draws in any process."""

import hashlib
import math
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stages_for_tests import invented_text

from ulmfit.tokens.bpe_sampling import BPESampler
from ulmfit.tokens.marks import normalize
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.sentencepiece_training import train_tokenizer
from ulmfit.tokens.subword_pieces import Pieces
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.unigram_sampling import UnigramSampler

TEXTS = [f"{invented_text(seed, 40)} Lomi LOMI, na na na naaaaa." for seed in range(30)]
ALPHABET = "kalomineturisapovedu LKM,."
DRAWS = 40_000


@cache
def tokenizer(name: str) -> SentencePieceTokenizer:
    model_type, _, changes = name.partition(" ")
    return train_tokenizer(
        TEXTS,
        Rules(language="qaa", repeats="repeats" in changes),
        vocab_size=450 if "bytes" in changes else 120,
        model_type=model_type,
        character_coverage=1.0,
        byte_fallback="bytes" in changes,
    )


NAMES = ["unigram", "bpe", "unigram repeats", "bpe repeats", "unigram bytes", "bpe bytes"]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(
    texts=st.lists(st.one_of(st.text(alphabet=ALPHABET), st.sampled_from(TEXTS), st.text()), max_size=4),
    seed=st.integers(0, 2**31 - 1),
    alpha=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_samples_are_the_same_texts(name, texts, seed, alpha):
    plain, sampled = tokenizer(name).encode(texts), tokenizer(name).sample(texts, alpha, seed)
    assert len(sampled) == len(texts)
    for text, usual, ids in zip(texts, plain, sampled, strict=True):
        assert ids.dtype == np.int32 and ids[0] == tokenizer(name).bos_id
        unknown = [int((array == tokenizer(name).unk_id).sum()) for array in (ids, usual)]
        assert unknown[0] == unknown[1]
        assert tokenizer(name).decode(ids) == tokenizer(name).decode(usual)
        if not unknown[0]:
            assert tokenizer(name).decode(ids) == normalize(text)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("bpe")])
@settings(deadline=None)
@given(texts=st.lists(st.one_of(st.text(alphabet=ALPHABET), st.text(), st.sampled_from(TEXTS)), max_size=4))
def test_bpe_without_dropout_is_the_encoding(name, texts):
    sampled = tokenizer(name).sample(texts, 0.0, 1)
    assert list(map(list, sampled)) == list(map(list, tokenizer(name).encode(texts)))


def test_bpe_with_every_merge_left_out_is_characters():
    vocabulary = tokenizer("bpe").vocabulary
    (ids,) = tokenizer("bpe").sample(["kalo mine"], 1.0, 1)
    assert [vocabulary[index] for index in ids] == ["xxbos", *"▁kalo▁mine"]


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_draws_depend_on_the_seed_alone(name):
    first, again, other = (tokenizer(name).sample(TEXTS, 0.2, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not any(map(np.array_equal, first, other))
    repeated = tokenizer(name).sample([TEXTS[0]] * 9, 0.2, 1)
    assert len({tuple(ids) for ids in repeated}) == 9


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_another_process_draws_the_same(name):
    """SentencePiece's own samplers do not."""
    program = (
        "import test_subword_sampling as tests; "
        f"print(tests.fingerprint(tests.tokenizer({name!r}).sample(tests.TEXTS, 0.2, 7)))"
    )
    folder = Path(__file__).parent
    path = ["-c", f"import sys; sys.path[:0] = [{str(folder)!r}, {str(folder.parent)!r}]; {program}"]
    output = subprocess.run([sys.executable, *path], capture_output=True, text=True, check=True).stdout
    assert output.strip() == fingerprint(tokenizer(name).sample(TEXTS, 0.2, 7))


def fingerprint(documents: list[np.ndarray]) -> str:
    return hashlib.sha256(np.concatenate(documents).tobytes()).hexdigest()


def test_groups_of_texts_have_draws_of_their_own(monkeypatch):
    monkeypatch.setattr("ulmfit.tokens.subword_sampling.GROUP_CHARACTERS", 300)
    monkeypatch.setattr("ulmfit.tokens.bpe_sampling.WORDS_TOGETHER", 7)
    for name in ("unigram", "bpe"):
        sampled = tokenizer(name).sample(TEXTS, 0.2, 1)
        assert [tokenizer(name).decode(ids) for ids in sampled] == list(map(normalize, TEXTS))


@pytest.mark.parametrize("name", ["unigram", "bpe"])
def test_a_very_long_word(name):
    word = "kalomi" * 700
    (ids,) = tokenizer(name).sample([word], 0.2, 1)
    assert tokenizer(name).decode(ids) == word


SCORES = {"a": -3.0, "b": -2.5, "▁": -4.0, "ab": -2.0, "ba": -3.5, "▁a": -2.2, "bab": -5.0, "abb": -4.0}
PIECES = Pieces(
    {piece: index + 4 for index, piece in enumerate(SCORES)}, np.array([0.0] * 4 + [*SCORES.values()]), None
)
NAME_OF = {index: piece for piece, index in PIECES.ids.items()}


def drawn(
    sampler: UnigramSampler | BPESampler, words: list[str], alpha: float
) -> list[Counter[tuple[str, ...]]]:
    """Return how often each segmentation of each word came, DRAWS of each."""
    chosen = np.tile(np.arange(len(words)), DRAWS)
    ids, lengths = sampler.sample(words, chosen, alpha, np.random.default_rng(3))
    counts: list[Counter[tuple[str, ...]]] = [Counter() for _ in words]
    for word, part in zip(chosen, np.split(ids, np.cumsum(lengths)[:-1]), strict=True):
        counts[word][tuple(NAME_OF[index] for index in part)] += 1
    return counts


def segmentations(word: str) -> list[tuple[str, ...]]:
    if not word:
        return [()]
    return [
        (word[:cut], *rest)
        for cut in range(1, len(word) + 1)
        if word[:cut] in SCORES
        for rest in segmentations(word[cut:])
    ]


def assert_close(counts: Counter[tuple[str, ...]], expected: dict[tuple[str, ...], float]) -> None:
    """Compare with five standard deviations to spare."""
    assert math.isclose(sum(expected.values()), 1)
    assert set(counts) <= set(expected)
    for segmentation, share in expected.items():
        spread = math.sqrt(DRAWS * share * (1 - share))
        assert abs(counts[segmentation] - DRAWS * share) < 5 * spread + 1, segmentation


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_unigram_segmentations_have_their_probabilities(alpha):
    words = ["▁abab", "▁a", "▁babba"]
    for word, counts in zip(words, drawn(UnigramSampler(PIECES), words, alpha), strict=True):
        weights = {path: math.exp(alpha * sum(map(SCORES.__getitem__, path))) for path in segmentations(word)}
        assert len(weights) > 1
        total = sum(weights.values())
        assert_close(counts, {path: weight / total for path, weight in weights.items()})


def with_dropout(symbols: tuple[str, ...], open_merges: tuple[bool | None, ...], alpha: float) -> Counter:
    """Return the exact distribution; `open_merges` tells whether each pair is taken, None: not drawn yet."""
    for place, state in enumerate(open_merges):
        if state is None:
            if "".join(symbols[place : place + 2]) not in SCORES:
                return with_dropout(symbols, (*open_merges[:place], False, *open_merges[place + 1 :]), alpha)
            result: Counter = Counter()
            for taken, chance in ((True, 1 - alpha), (False, alpha)):
                chosen = (*open_merges[:place], taken, *open_merges[place + 1 :])
                for path, share in with_dropout(symbols, chosen, alpha).items():
                    result[path] += chance * share
            return result
    scores = [
        SCORES["".join(symbols[i : i + 2])] if taken else -math.inf for i, taken in enumerate(open_merges)
    ]
    if not scores or max(scores) == -math.inf:
        return Counter({symbols: 1.0})
    place = scores.index(max(scores))
    merged = (*symbols[:place], "".join(symbols[place : place + 2]), *symbols[place + 2 :])
    states = [*open_merges[:place], *open_merges[place + 1 :]]
    for neighbour in (place - 1, place):
        if 0 <= neighbour < len(states):
            states[neighbour] = None
    return with_dropout(merged, tuple(states), alpha)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_bpe_dropout_has_its_probabilities(alpha):
    words = ["▁abab", "▁a", "▁babba", "abbab"]
    for word, counts in zip(words, drawn(BPESampler(PIECES), words, alpha), strict=True):
        expected = with_dropout(tuple(word), (None,) * (len(word) - 1), alpha)
        assert len(expected) > 1
        assert_close(counts, dict(expected))
