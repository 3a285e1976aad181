"""PolEval-2018 perplexity: the task's own figures, a case by hand, and a recipe that asks for it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from stages_for_tests import InventedCorpus, tiny_pretrain

from ulmfit.corpus.rare_words import MARK, RareWordsReplaced
from ulmfit.corpus.stored import stored_documents
from ulmfit.experiments.plan import Experiment
from ulmfit.experiments.presets import Preset, VocabularySettings
from ulmfit.experiments.recipe import Recipe
from ulmfit.language_model.figures import PolEvalFigures
from ulmfit.language_model.folder import load_language_model
from ulmfit.language_model.poleval import POLEVAL, PolEvalPerplexity, poleval_figures
from ulmfit.language_model.settings import Dropouts
from ulmfit.language_model.stages import Pretrain
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.loading import load_tokenizer
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer


def figures(**changes: float) -> PolEvalFigures:
    content = {"loss_sum": 30.0, "sentences": 2, "words": 8, "replaced_words": 1, "min_count": 3}
    return poleval_figures(**(content | changes), scoring_precision="fp32")


def test_ends_of_sentences_count_as_words() -> None:
    assert figures().poleval_2018_word_perplexity == pytest.approx(math.exp(30 / 10))
    assert figures(loss_sum=1e6).poleval_2018_word_perplexity is None


def test_the_second_team_of_the_task_is_counted_alike() -> None:
    """SRILM printed: 2556845 sentences, 50218535 words, 0 OOVs, logprob= -1.143355e+08 ppl= 146.7082."""
    counted = figures(loss_sum=1.143355e8 * math.log(10), sentences=2_556_845, words=50_218_535)
    assert counted.poleval_2018_word_perplexity == pytest.approx(146.7082, rel=1e-4)


def marked_pretrain(direction: str = "forward") -> Pretrain:
    corpus = RareWordsReplaced(corpus=InventedCorpus(documents=40, words=30), min_count=12)
    tokenizer = TrainTokenizer(corpus=corpus, language="qaa", vocab_size=80)
    tokens = EncodeTokens(documents=corpus, tokenizer=tokenizer)
    return tiny_pretrain().changed(tokens=tokens, direction=direction)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_every_word_and_end_is_scored_once(tmp_path: Path, direction: str) -> None:
    runner, stage = Runner(tmp_path), PolEvalPerplexity(language_model=marked_pretrain(direction))
    found = read_json(runner.build(stage) / POLEVAL)
    model = load_language_model(runner.folder(stage.language_model), Dropouts()).double().eval()
    tokens = stage.language_model.tokens
    tokenizer = load_tokenizer(runner.folder(tokens.tokenizer))
    documents = [d.text for d in stored_documents(runner.folder(tokens.documents)) if d.split == "test"]
    nats = 0.0
    for text in documents:
        bos, *ids = tokenizer.encode([text])[0].tolist()
        read = [bos, *(ids if direction == "forward" else ids[::-1]), bos]
        model.reset()
        with torch.no_grad():
            logits = model(torch.tensor([read[:-1]])).logits[0]
        nats += float(torch.nn.functional.cross_entropy(logits, torch.tensor(read[1:]), reduction="sum"))
    words = [word for text in documents for word in text.split()]
    assert found["sentences"] == len(documents) == 4
    assert found["words"] == len(words) == 120
    assert found["replaced_words"] == words.count(MARK) > 0
    assert found["min_count"] == 12
    assert found["nats"] == pytest.approx(nats, rel=1e-5)
    assert found["poleval_2018_word_perplexity"] == pytest.approx(math.exp(found["nats"] / 124))


def test_a_model_of_whole_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="RareWordsReplaced"):
        PolEvalPerplexity(language_model=tiny_pretrain())


def test_a_recipe_can_ask_for_it() -> None:
    preset = Preset(vocabulary=VocabularySettings(size=80, byte_fallback=False))
    recipe = Recipe(
        name="test/poleval",
        title="PolEval",
        language="qaa",
        corpus=InventedCorpus(),
        presets={"tiny": preset},
    )
    assert Experiment(recipe).poleval == {}
    experiment = Experiment(recipe.with_overrides(["poleval_2018=true"]))
    assert isinstance(experiment.corpus, RareWordsReplaced)
    assert set(experiment.poleval) == {"forward", "backward"}
    assert experiment.poleval["forward"].language_model == experiment.pretrained["forward"]
    assert all(stage in experiment.all() for stage in experiment.poleval.values())
    assert experiment.tokenizer.corpus == experiment.corpus, "subwords are learned from the marked texts"
