"""The stages that follow from a recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ulmfit.classifier.schedules import all_at_once
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.card import CorpusCard
from ulmfit.corpus.data_checks import checked
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.filters import Deduplicated, LeakCheck, WithoutLeaks
from ulmfit.corpus.rare_words import RareWordsReplaced
from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.evaluation.transformer_stages import TransformerClassifier
from ulmfit.experiments.systems import CurvePlan, Row, baselines_of, curves_of, rows_of
from ulmfit.language_model.bundled import BundledModel, BundledTokenizer, described
from ulmfit.language_model.poleval import PolEvalPerplexity
from ulmfit.language_model.stages import Direction, FineTune, ImportedModel, Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage
from ulmfit.tokens.card import TokenizerCard
from ulmfit.tokens.stages import EncodeTokens, GivenTokenizer, TokenizerStage, TrainTokenizer

if TYPE_CHECKING:
    from ulmfit.experiments.recipe import Recipe


@dataclass(frozen=True)
class WordModels:
    """The models with a vocabulary of words, by seed; one direction."""

    pretrained: Pretrain
    finetuned: dict[int, FineTune]
    classifiers: dict[int, TrainClassifier]


class Experiment:
    """The stages that follow from a recipe; equal stages of two recipes have one key and are shared."""

    def __init__(self, recipe: Recipe) -> None:
        dataset, self.data_checks = checked(recipe.dataset, recipe.data_checks)
        recipe = recipe.changed(dataset=dataset)
        self.recipe = recipe = _of_the_size_of_its_bundle(recipe) if recipe.language_model else recipe
        settings = recipe.settings
        self.corpus, self.leaks = self._corpus_and_leaks()
        if recipe.poleval_2018:
            self.corpus = RareWordsReplaced(corpus=self.corpus)
        self.tokenizer: TokenizerStage
        self.tokenizer, compared = self._tokenizers()
        self.corpus_card = CorpusCard(corpus=self.corpus)
        self.tokenizer_card = TokenizerCard(
            tokenizers=(self.tokenizer, *compared), documents=self.corpus, target=recipe.dataset
        )
        tokens = EncodeTokens(documents=self.corpus, tokenizer=self.tokenizer)
        self.pretrained = {
            direction: self._pretrained(direction, tokens) for direction in settings.directions
        }
        self.poleval = {
            direction: PolEvalPerplexity(language_model=stage)
            for direction, stage in self.pretrained.items()
            if recipe.poleval_2018 and isinstance(stage, Pretrain)
        }
        self.finetuned: dict[tuple[Direction, int], FineTune] = {}
        self.classifiers: dict[tuple[Direction, int], TrainClassifier] = {}
        self.without_finetuning: dict[int, TrainClassifier] = {}
        self.words: WordModels | None = None
        self.from_scratch: dict[int, TrainClassifier] = {}
        self.baselines: dict[str, TfidfBaseline] = {}
        self.transformers: dict[str, dict[int, TransformerClassifier]] = {}
        if recipe.dataset is not None:
            self._add_classification(recipe.dataset)
            self._add_comparisons(recipe.dataset)

    def _corpus_and_leaks(self) -> tuple[CorpusStage, Stage | None]:
        """Return the corpus, sampled and filtered, and the stage whose folder says what leaked."""
        recipe, settings = self.recipe, self.recipe.settings
        if recipe.language_model is not None and recipe.dataset is not None:
            # The corpus behind the bundle is not here; the texts that fine-tuning reads take its place.
            return DatasetTexts(dataset=recipe.dataset, transductive=recipe.transductive), None
        corpus = recipe.corpus.changed(
            max_documents=_smaller(recipe.corpus.max_documents, settings.max_documents),
            max_tokens=_smaller(recipe.corpus.max_tokens, settings.max_tokens),
            **_size_rules(recipe),
        )
        if recipe.deduplication != "off":
            corpus = Deduplicated(corpus=corpus, method=recipe.deduplication)
        if recipe.dataset is None or recipe.leaks == "ignore":
            return corpus, None
        check = LeakCheck(corpus=corpus, dataset=recipe.dataset.with_same_test)
        if recipe.leaks == "count":
            return corpus, check
        filtered = WithoutLeaks(corpus=corpus, check=check)
        return filtered, filtered

    def _tokenizer(self, size: int) -> TrainTokenizer:
        vocabulary = self.recipe.settings.vocabulary
        return TrainTokenizer(
            corpus=self.corpus,
            language=self.recipe.language,
            vocab_size=size,
            exact=vocabulary.exact and size == vocabulary.size,
            model_type=vocabulary.kind,
            byte_fallback=vocabulary.byte_fallback and vocabulary.kind != "words",
            character_coverage=vocabulary.character_coverage,
            sample_bytes=vocabulary.sample_bytes,
            **vocabulary.texts(),
            **self._texts_of_the_task(),
        )

    def _texts_of_the_task(self) -> dict[str, Any]:
        """Return the fields of a tokenizer that learns from the task's texts too; none where it does not."""
        dataset, share = self.recipe.dataset, self.recipe.settings.vocabulary.task_share
        if not share:
            return {}
        if dataset is None:
            raise InputError(
                f"vocabulary.task_share {share:g}: the recipe has no data set whose texts a vocabulary could "
                "learn from; expected 0"
            )
        return {"target": DatasetTexts(dataset=dataset), "target_share": share}

    def _tokenizers(self) -> tuple[TokenizerStage, list[TrainTokenizer]]:
        """Return the tokenizer, and those of other sizes that are compared with it."""
        recipe = self.recipe
        if recipe.language_model is not None:
            return BundledTokenizer(bundle=recipe.language_model, language=recipe.language), []
        vocabulary = recipe.settings.vocabulary
        trained, *compared = [self._tokenizer(size) for size in (vocabulary.size, *vocabulary.compared_sizes)]
        return trained if recipe.tokenizer is None else self._given_tokenizer(), compared

    def _pretrained(
        self, direction: Direction, tokens: EncodeTokens
    ) -> Pretrain | ImportedModel | BundledModel:
        recipe = self.recipe
        if recipe.language_model is not None:
            return BundledModel(bundle=recipe.language_model, direction=direction)
        if recipe.pretrained:
            return self._imported(direction)
        return Pretrain(tokens=tokens, settings=recipe.settings.pretrain, direction=direction)

    def _given_tokenizer(self) -> GivenTokenizer:
        assert self.recipe.tokenizer is not None
        texts = self.recipe.settings.vocabulary.texts()
        return GivenTokenizer(model=self.recipe.tokenizer, language=self.recipe.language, **texts)

    def _imported(self, direction: Direction) -> ImportedModel:
        """Return the released model, held to the preset's size, which the one from scratch has as well."""
        return self.recipe.pretrained[direction].changed(
            architecture=self.recipe.settings.pretrain.architecture
        )

    def _add_classification(self, dataset: DatasetStage) -> None:
        for direction in self.pretrained:
            for seed in self.recipe.seeds:
                finetuned = self.fine_tuned(direction, seed, dataset)
                self.finetuned[direction, seed] = finetuned
                self.classifiers[direction, seed] = self.classifier(dataset, direction, seed, finetuned)

    def _add_comparisons(self, dataset: DatasetStage) -> None:
        settings, seeds = self.recipe.settings, self.recipe.seeds
        first = settings.directions[0]
        if "without_finetuning" in settings.comparisons:
            pretrained = self.pretrained[first]
            self.without_finetuning = {
                seed: self.classifier(dataset, first, seed, pretrained) for seed in seeds
            }
        if (
            "words" in settings.comparisons
            and settings.vocabulary.kind != "words"
            and not self.recipe.pretrained
            and self.recipe.language_model is None
        ):
            self.words = self._word_models(dataset, first)
        if "from_scratch" in settings.comparisons:
            self.from_scratch = {seed: self.classifier(dataset, first, seed, None) for seed in seeds}
        if "tfidf" in settings.comparisons:
            self.baselines = baselines_of(dataset)
        self.transformers = {
            model.name: {seed: model.classifier(dataset, seed) for seed in seeds}
            for model in self.recipe.transformers
        }

    def _word_models(self, dataset: DatasetStage, direction: Direction) -> WordModels:
        """Return the preset's models with words for pieces; there are no others to sample words from."""
        settings, recipe = self.recipe.settings, self.recipe
        tokenizer = TrainTokenizer(
            corpus=self.corpus,
            language=recipe.language,
            vocab_size=settings.words,
            model_type="words",
            sample_bytes=settings.vocabulary.sample_bytes,
            **settings.vocabulary.texts(),
            **self._texts_of_the_task(),
        )
        pretrained = Pretrain(
            tokens=EncodeTokens(documents=self.corpus, tokenizer=tokenizer),
            settings=settings.pretrain.changed(subword_sampling=0.0),
            direction=direction,
        )
        texts = DatasetTexts(dataset=dataset, transductive=recipe.transductive)
        tokens = EncodeTokens(documents=texts, tokenizer=tokenizer)
        finetune = settings.finetune.changed(subword_sampling=0.0)
        finetuned = {
            seed: FineTune(pretrained=pretrained, tokens=tokens, settings=finetune, seed=seed)
            for seed in recipe.seeds
        }
        classifiers = {
            seed: self.classifier(dataset, direction, seed, model) for seed, model in finetuned.items()
        }
        return WordModels(pretrained, finetuned, classifiers)

    def fine_tuned(self, direction: Direction, seed: int, dataset: DatasetStage) -> FineTune:
        """Return the language model fine-tuned on the texts of `dataset`."""
        texts = DatasetTexts(dataset=dataset, transductive=self.recipe.transductive)
        return FineTune(
            pretrained=self.pretrained[direction],
            tokens=EncodeTokens(documents=texts, tokenizer=self.tokenizer),
            settings=self.recipe.settings.finetune,
            seed=seed,
        )

    def classifier(
        self,
        dataset: DatasetStage,
        direction: Direction,
        seed: int,
        language_model: FineTune | Pretrain | ImportedModel | BundledModel | None,
        least_steps: int = 0,
    ) -> TrainClassifier:
        """Return a classifier of `dataset` that begins with `language_model`, or with random weights.

        It is trained for `least_steps` at least, where that is more than the preset's.
        """
        settings = self.recipe.settings
        tokenizer, classifier = self.tokenizer, settings.classifier
        if least_steps > classifier.least_steps:
            classifier = classifier.changed(least_steps=least_steps)
        if language_model is None:
            # Gradients of random weights explode now and then: they are clipped as pretraining's are.
            classifier = classifier.changed(
                phases=all_at_once(classifier.phases, settings.from_scratch_rate),
                gradient_clip=classifier.gradient_clip or settings.pretrain.gradient_clip,
            )
        if isinstance(language_model, FineTune) and language_model.tokens.tokenizer != tokenizer:
            tokenizer = language_model.tokens.tokenizer
            classifier = classifier.changed(subword_sampling=0.0)
        return TrainClassifier(
            dataset=dataset,
            tokenizer=tokenizer,
            language_model=language_model,
            architecture=settings.pretrain.architecture,
            direction=direction,
            settings=classifier,
            seed=seed,
        )

    def rows(self) -> list[Row]:
        """Return the rows of the results table, each with the stages of every seed."""
        return rows_of(self)

    def curves(self) -> list[CurvePlan]:
        """Return the learning curves that the recipe asks for."""
        return curves_of(self)

    def all(self) -> list[Stage]:
        """Return the final stages in the order in which they are built; their upstreams are implied."""
        curves = self.curves()
        return [
            # First, so that a file or a size that is no use ends the run before hours of training.
            *(dataset for curve in curves for dataset in curve.datasets()),
            *([self.data_checks] if self.data_checks else []),
            *([self.recipe.dataset] if self.recipe.dataset else []),
            *([self.leaks] if self.leaks else []),
            self.corpus_card,
            self.tokenizer_card,
            *self.baselines.values(),
            # Before the own models, so that one that cannot be loaded ends the run before hours of training.
            *(stage for runs in self.transformers.values() for stage in runs.values()),
            *self.pretrained.values(),
            *self.poleval.values(),
            *self.finetuned.values(),
            *self.classifiers.values(),
            *(stage for row in self.rows() for run in row.runs.values() for stage in run),
            *(stage for curve in curves for stage in curve.stages()),
        ]


def _of_the_size_of_its_bundle(recipe: Recipe) -> Recipe:
    """Return the recipe with the architecture of its bundle in place of the preset's.

    Raises InputError where the bundle lacks a direction of the preset.
    """
    assert recipe.language_model is not None
    found = described(recipe.language_model)
    settings = recipe.settings
    if missing := [one for one in settings.directions if one not in found.directions]:
        raise InputError(
            f"language model {recipe.language_model.label}: there is none that reads {missing[0]}: "
            f"set directions={json.dumps(found.directions)}"
        )
    pretrain = settings.pretrain.changed(architecture=found.architecture)
    presets = {**recipe.presets, recipe.preset_name: settings.changed(pretrain=pretrain)}
    return recipe.changed(presets=presets)


def _size_rules(recipe: Recipe) -> dict[str, Any]:
    """Return the fields of the corpus that the preset changes."""
    rules: dict[str, Any] = {}
    if recipe.settings.min_words > recipe.corpus.min_words:
        rules["min_words"] = recipe.settings.min_words
    if recipe.settings.counted_in != "words":
        rules["counted_in"] = recipe.settings.counted_in
    return rules


def _smaller(*limits: int | None) -> int | None:
    """Return the smallest limit; None is no limit."""
    return min((limit for limit in limits if limit is not None), default=None)
