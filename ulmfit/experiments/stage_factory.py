"""Makes the stages of a recipe: corpus, tokenizer, language models, and classifiers for rows and curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ulmfit.classifier.schedules import all_at_once
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.filters import Deduplicated, LeakCheck, WithoutLeaks
from ulmfit.corpus.rare_words import RareWordsReplaced
from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.encoder_stages import EncoderClassifier, FrozenEncoder
from ulmfit.evaluation.learning_curve import CurveChoice
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.evaluation.teaching_stages import SoftLabels, Teacher
from ulmfit.evaluation.transformer_stages import TransformerClassifier, TransformerModel
from ulmfit.experiments.recipe_settings import RecipeSettings
from ulmfit.language_model.bundled import BundledModel, BundledTokenizer
from ulmfit.language_model.stages import Direction, FineTune, ImportedModel, Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage
from ulmfit.tokens.stages import EncodeTokens, GivenTokenizer, TokenizerStage, TrainTokenizer

Start = Pretrain | ImportedModel | BundledModel
"""The language model that fine-tuning begins with."""


@dataclass(frozen=True)
class Run:
    """The data that one model of a row or of a curve is trained on."""

    seed: int
    dataset: DatasetStage
    """The labelled texts."""
    texts: DatasetStage
    """The data set whose texts the language model is fine-tuned on, without labels."""
    least_steps: int = 0
    """Least steps of the classifier's training; used where it is more than the preset's."""
    pool: DatasetStage | None = None
    """The data set whose texts that `dataset` does not have are without a label; None: there are none."""
    choice: CurveChoice = "validation"
    """What settings and epochs are chosen on: labels is those of `dataset`'s training texts alone."""

    @property
    def few(self) -> bool:
        """Whether nothing may be chosen on the validation split."""
        return self.choice == "labels"


class StageFactory:
    """The stages of one recipe; equal stages of two recipes have one key and are shared.

    `corpus` is sampled and filtered; `leaks` is the stage that reports leaks; None if they were not looked
    for.
    """

    def __init__(self, recipe: RecipeSettings) -> None:
        self.recipe = recipe
        self.settings = recipe.settings
        self.directions = recipe.settings.directions
        self.first = self.directions[0]
        """The direction of the rows that have only one."""
        self.corpus, self.leaks = _corpus_and_leaks(recipe)
        self.tokenizer = self._tokenizer()
        self.pretrained = {direction: self._pretrained(direction) for direction in self.directions}

    @property
    def dataset(self) -> DatasetStage:
        """The recipe's data set; rows and curves are for recipes that have one."""
        assert self.recipe.dataset is not None
        return self.recipe.dataset

    @cached_property
    def classifiers(self) -> dict[tuple[Direction, int], TrainClassifier]:
        """ULMFiT's classifiers by direction and seed; none without a data set."""
        if self.recipe.dataset is None:
            return {}
        return {
            (direction, seed): self.ulmfit(self.run(seed), direction)
            for direction in self.directions
            for seed in self.recipe.seeds
        }

    def run(self, seed: int) -> Run:
        """Return the run of the table: the whole data set."""
        return Run(seed, self.dataset, self.dataset)

    def every_seed(self, build: Callable[[Run], Stage]) -> dict[int, tuple[Stage, ...]]:
        """Return the runs of a row whose models are each made by `build`."""
        return {seed: (build(self.run(seed)),) for seed in self.recipe.seeds}

    def ulmfit(self, run: Run, direction: Direction | None = None) -> TrainClassifier:
        """Return a classifier that begins with the fine-tuned language model (ULMFiT, section 3)."""
        texts = DatasetTexts(dataset=run.texts, transductive=self.recipe.transductive)
        model = FineTune(
            pretrained=self.pretrained[direction or self.first],
            tokens=EncodeTokens(documents=texts, tokenizer=self.tokenizer),
            settings=self.settings.finetune,
            seed=run.seed,
        )
        return self._classifier(run, model)

    def without_finetuning(self, run: Run) -> TrainClassifier:
        """Return a classifier that begins with the pretrained language model."""
        return self._classifier(run, self.pretrained[self.first])

    def from_scratch(self, run: Run) -> TrainClassifier:
        """Return a classifier that begins with random weights and trains all layers from the first step."""
        return self._classifier(run, None)

    def tfidf(self, run: Run) -> TfidfBaseline:
        """Return the TF-IDF baseline of curves."""
        return TfidfBaseline(dataset=run.dataset, choice="cross_validation" if run.few else "validation")

    def encoder(self, encoder: FrozenEncoder, run: Run) -> EncoderClassifier:
        """Return the classifier on a frozen encoder."""
        return encoder.classifier(run.dataset, self.dataset)

    def transformer(self, model: TransformerModel, run: Run) -> TransformerClassifier:
        """Return a transformer's classifier."""
        stage = model.classifier(run.dataset, run.seed)
        return stage.changed(settings=stage.settings.changed(select="last")) if run.few else stage

    def teacher(self, name: str, run: Run) -> Teacher:
        """Return a teacher by its name in `Recipe.bootstrap`."""
        if name == "tfidf":
            return self.tfidf(run)
        if name == "ulmfit":
            return self.ulmfit(run)
        return next(self.encoder(one, run) for one in self.recipe.encoders if one.name == name)

    def taught(self, teachers: Sequence[str], run: Run) -> TrainClassifier:
        """Return ULMFiT that learns from soft labels of teachers, and then from the labels (MultiFiT).

        The second step is the last phase of the preset, in which all layers are trained. Without texts that
        have no label it is ULMFiT.
        """
        usual = self.ulmfit(run)
        if run.pool is None:
            return usual
        soft = SoftLabels.of(
            run.dataset, teachers=tuple(self.teacher(name, run) for name in teachers), texts=run.pool
        )
        first = usual.settings.changed(least_steps=self.settings.classifier.least_steps)
        return usual.changed(
            begins_with=usual.changed(dataset=soft, settings=first),
            settings=usual.settings.changed(phases=usual.settings.phases[-1:], least_steps=0),
        )

    def with_words(self) -> StageFactory:
        """Return the same with words in place of pieces, in pretraining too; words cannot be sampled."""
        recipe, settings = self.recipe, self.settings
        vocabulary = settings.vocabulary.changed(
            kind="words", size=settings.words, exact=False, character_coverage=None
        )
        preset = settings.changed(
            vocabulary=vocabulary,
            pretrain=settings.pretrain.changed(subword_sampling=0.0),
            finetune=settings.finetune.changed(subword_sampling=0.0),
            classifier=settings.classifier.changed(subword_sampling=0.0),
        )
        presets = {**recipe.presets, recipe.preset_name: preset}
        return StageFactory(recipe.changed(tokenizer=None, presets=presets))

    def _classifier(self, run: Run, model: FineTune | Start | None) -> TrainClassifier:
        settings = self.settings.classifier
        if run.least_steps > settings.least_steps:
            settings = settings.changed(least_steps=run.least_steps)
        if model is None:
            # Gradients of random weights sometimes explode: they are clipped as in pretraining.
            settings = settings.changed(
                phases=all_at_once(settings.phases, self.settings.from_scratch_rate),
                gradient_clip=settings.gradient_clip or self.settings.pretrain.gradient_clip,
            )
        if run.few:
            settings = settings.changed(select="last", early_stopping=0)
        return TrainClassifier(
            dataset=run.dataset,
            tokenizer=self.tokenizer,
            language_model=model,
            architecture=self.settings.pretrain.architecture,
            direction=self.first if model is None else model.direction,
            settings=settings,
            seed=run.seed,
        )

    def _tokenizer(self) -> TokenizerStage:
        recipe, vocabulary = self.recipe, self.settings.vocabulary
        if recipe.language_model is not None:
            return BundledTokenizer(bundle=recipe.language_model, language=recipe.language)
        if recipe.tokenizer is not None:
            return GivenTokenizer(model=recipe.tokenizer, language=recipe.language, **vocabulary.texts())
        return self.trained_tokenizer(vocabulary.size)

    def _pretrained(self, direction: Direction) -> Start:
        """Return the model that fine-tuning begins with.

        A released one has to have the preset's size, which is that of the model from scratch too.
        """
        recipe, settings = self.recipe, self.settings.pretrain
        if recipe.language_model is not None:
            return BundledModel(bundle=recipe.language_model, direction=direction)
        if recipe.pretrained:
            return recipe.pretrained[direction].changed(architecture=settings.architecture)
        tokens = EncodeTokens(documents=self.corpus, tokenizer=self.tokenizer)
        return Pretrain(tokens=tokens, settings=settings, direction=direction)

    def trained_tokenizer(self, size: int) -> TrainTokenizer:
        """Return a tokenizer of the preset's kind with a vocabulary of `size` pieces."""
        vocabulary = self.settings.vocabulary
        return TrainTokenizer(
            corpus=self.corpus,
            language=self.recipe.language,
            vocab_size=size,
            exact=vocabulary.exact and size == vocabulary.size,
            model_type=vocabulary.kind,
            **vocabulary.of_its_kind(),
            sample_bytes=vocabulary.sample_bytes,
            **vocabulary.texts(),
            **self._texts_of_the_task(),
        )

    def _texts_of_the_task(self) -> dict[str, Any]:
        """Return the fields of a tokenizer that also learns from the task's texts; none where it does not."""
        dataset, share = self.recipe.dataset, self.settings.vocabulary.task_share
        if not share:
            return {}
        if dataset is None:
            raise InputError(
                f"vocabulary.task_share {share:g}: the recipe has no data set whose texts a vocabulary could "
                "learn from; expected 0"
            )
        return {"target": DatasetTexts(dataset=dataset), "target_share": share}


def _corpus_and_leaks(recipe: RecipeSettings) -> tuple[CorpusStage, Stage | None]:
    """Return the corpus, sampled and filtered, and the stage that reports leaks."""
    settings = recipe.settings
    if recipe.language_model is not None and recipe.dataset is not None:
        # The bundle's corpus is not available; the texts of fine-tuning take its place.
        return DatasetTexts(dataset=recipe.dataset, transductive=recipe.transductive), None
    corpus = recipe.corpus.changed(
        max_documents=_smaller(recipe.corpus.max_documents, settings.max_documents),
        max_tokens=_smaller(recipe.corpus.max_tokens, settings.max_tokens),
        **_size_rules(recipe),
    )
    if recipe.deduplication != "off":
        corpus = Deduplicated(corpus=corpus, method=recipe.deduplication)
    leaks: Stage | None = None
    if recipe.dataset is not None and recipe.leaks != "ignore":
        leaks = check = LeakCheck(corpus=corpus, dataset=recipe.dataset.with_same_test)
        if recipe.leaks == "remove":
            leaks = corpus = WithoutLeaks(corpus=corpus, check=check)
    return RareWordsReplaced(corpus=corpus) if recipe.poleval_2018 else corpus, leaks


def _size_rules(recipe: RecipeSettings) -> dict[str, Any]:
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
