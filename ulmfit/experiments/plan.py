"""The stages that follow from a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.card import CorpusCard
from ulmfit.corpus.data_checks import checked
from ulmfit.evaluation.minimal_pairs import GrammarCard
from ulmfit.experiments.curves import curves_of
from ulmfit.experiments.recipe_settings import RecipeSettings
from ulmfit.experiments.stage_factory import StageFactory
from ulmfit.experiments.systems import systems_of
from ulmfit.language_model.bundled import described
from ulmfit.language_model.poleval import PolEvalPerplexity
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.stage import Stage
from ulmfit.tokens.card import TokenizerCard

Trained = Pretrain | FineTune | TrainClassifier


class Experiment:
    """What a recipe builds: `systems` are the rows of its table, `curves` its learning curves.

    `recipe` is the recipe on its checked data set, with the size of its bundle where it begins with one.
    """

    def __init__(self, recipe: RecipeSettings) -> None:
        dataset, self.data_checks = checked(recipe.dataset, recipe.data_checks)
        self.recipe = _of_the_size_of_its_bundle(recipe.changed(dataset=dataset))
        make = StageFactory(self.recipe)
        self.corpus, self.leaks, self.tokenizer = make.corpus, make.leaks, make.tokenizer
        self.pretrained, self.classifiers = make.pretrained, make.classifiers
        self.systems, self.curves = systems_of(make), curves_of(make)
        self.corpus_card = CorpusCard(corpus=self.corpus)
        # A bundle brings its tokenizer, and no corpus that others could be trained on.
        sizes = () if self.recipe.language_model else make.settings.vocabulary.compared_sizes
        compared = map(make.trained_tokenizer, sizes)
        self.tokenizer_card = TokenizerCard(
            tokenizers=(self.tokenizer, *compared), documents=self.corpus, target=dataset
        )
        self.grammar: GrammarCard | None = None
        if recipe.minimal_pairs is not None:
            self.grammar = GrammarCard(
                pairs=recipe.minimal_pairs,
                language_models=tuple(self.pretrained.values()),
                tokenizer=self.tokenizer,
                corpus=self.corpus,
            )
        self.poleval = {
            direction: PolEvalPerplexity(language_model=stage)
            for direction, stage in self.pretrained.items()
            if recipe.poleval_2018 and isinstance(stage, Pretrain)
        }

    def all(self) -> list[Stage]:
        """Return the final stages in the order in which they are built; their upstreams are implied."""
        return [
            # First, so that an unusable file or size ends the run before hours of training.
            *(dataset for curve in self.curves for dataset in curve.datasets()),
            *([self.data_checks] if self.data_checks else []),
            *([self.recipe.dataset] if self.recipe.dataset else []),
            *([self.recipe.minimal_pairs] if self.recipe.minimal_pairs else []),
            *([self.leaks] if self.leaks else []),
            self.corpus_card,
            self.tokenizer_card,
            # Before our own models, so that one that cannot be loaded ends the run before hours of training.
            *(
                stage
                for system in self.systems
                if system.kind in ("baseline", "comparison")
                for stage in system.stages()
            ),
            *self.pretrained.values(),
            *self.poleval.values(),
            *([self.grammar] if self.grammar else []),
            *(stage.language_model for stage in self.classifiers.values() if stage.language_model),
            *self.classifiers.values(),
            *(stage for system in self.systems for stage in system.stages()),
            *(stage for curve in self.curves for stage in curve.stages()),
        ]

    def language_models(self) -> list[Pretrain | FineTune]:
        """Return the language models that are trained for the table: those of pretraining first."""
        stages = [*self.pretrained.values(), *(stage for one in self.systems for stage in one.stages())]
        return [stage for stage in trained(stages) if isinstance(stage, Pretrain | FineTune)]

    def trained_once(self) -> list[Trained]:
        """Return what is trained for the table with the first seed, in the order of the rows."""
        runs = [next(iter(system.runs.values())) for system in self.systems]
        return trained([*(stage for run in runs for stage in run), *self.pretrained.values()])


def _of_the_size_of_its_bundle(recipe: RecipeSettings) -> RecipeSettings:
    """Return the recipe with the architecture of its bundle, if it begins with one, in place of the preset's.

    Raises InputError where the bundle lacks a direction of the preset.
    """
    if recipe.language_model is None:
        return recipe
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


def trained(stages: Iterable[Stage]) -> list[Trained]:
    """Return the models of this project that predictions of `stages` come from, each once, upstream first.

    The data set of a classifier may be made by other classifiers: these are not among them.
    """
    found: list[Trained] = []
    for stage in stages:
        found += [one for one in _chain(stage) if one not in found]
    return found


def _chain(stage: Stage | None) -> list[Trained]:
    if isinstance(stage, TrainClassifier):
        return [*_chain(stage.language_model), *_chain(stage.begins_with), stage]
    if isinstance(stage, FineTune):
        return [*_chain(stage.pretrained), stage]
    return [stage] if isinstance(stage, Pretrain) else []
