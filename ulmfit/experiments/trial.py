"""`--trial`: a recipe made so small that it ends within minutes, to see that everything fits together.

The corpus is bounded in documents, words and bytes that are read, the data set is a sample of every split,
the model is tiny. Nothing that a trial measures is a result: records say so, and publishing refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ulmfit.corpus.beginnings import DumpBeginning, WikipediaBeginning
from ulmfit.corpus.stages import CorpusStage, DumpStage, Wikipedia
from ulmfit.datasets.sample import SampledDataset
from ulmfit.datasets.stages import DatasetStage
from ulmfit.experiments.presets import TOY, Preset
from ulmfit.experiments.recipe_settings import RecipeSettings
from ulmfit.language_model.settings import Architecture, LanguageModelSettings
from ulmfit.pipeline.assets import File
from ulmfit.training.settings import Phase, TrainingSettings

Made = TypeVar("Made", bound=RecipeSettings)
Language = TypeVar("Language", bound=LanguageModelSettings)

NOTE = "trial: 2 layers of 128 units, trained for an epoch"
TRIAL_LABEL = "trial, no result: "
"""With this a record's label begins that says how little a trial was made from."""
MOST_DOCUMENTS, MOST_WORDS = 300, 100_000
"""Of the whole corpus and of each of its parts."""
MOST_MEGABYTES = 20
"""MB of text that are read of a source, and of XML of a dump."""
MOST_PIECES = 4_000
SAMPLE_BYTES = 2_000_000
MOST_TOKENS = 300
"""Tokens of a text that the classifier reads."""


def trial_of(recipe: Made) -> Made:
    """Return the trial of a recipe with its chosen preset: its first seed, no curves, no transformers."""
    small = {
        "seeds": recipe.seeds[:1],
        "train_sizes": (),
        "label_noise": (),
        "curve_texts": "all",
        "curve_steps": 0,
        "curve_choice": "labels",
    }
    # What a trial always changes is no change by options: its folder has one name.
    origin = recipe.origin
    if origin is not None:
        written = {**origin.written, **{name: small[name] for name in small if name in origin.written}}
        origin = origin.changed(written=written)
    return recipe.changed(
        trial=True,
        corpus=_small_corpus(recipe.corpus),
        dataset=recipe.dataset and SampledDataset(dataset=recipe.dataset),
        presets={**recipe.presets, recipe.preset_name: small_preset(recipe.settings, recipe.pretrained)},
        transformers=(),
        # Lines of a curve are left out with it: as rows they would need unlabelled texts.
        bootstrap=() if recipe.train_sizes else recipe.bootstrap,
        published=(),
        origin=origin,
        **small,
    )


def small_preset(preset: Preset, given_weights: Any = None) -> Preset:
    """Return the preset with a tiny model and few steps; rows, directions and what is done to texts stay.

    With weights that are given the model keeps its size.
    """
    kind = preset.pretrain.architecture
    architecture = kind if given_weights else _tiny(kind)
    vocabulary = preset.vocabulary.changed(
        size=min(preset.vocabulary.size, MOST_PIECES),
        exact=False,
        compared_sizes=(),
        sample_bytes=min(preset.vocabulary.sample_bytes, SAMPLE_BYTES),
    )
    pretrain = _quick(preset.pretrain, TOY.pretrain).changed(architecture=architecture)
    classifier = preset.classifier
    return preset.changed(
        note=NOTE if not given_weights else "trial: each model trained for an epoch",
        vocabulary=vocabulary,
        words=min(preset.words, MOST_PIECES),
        pretrain=pretrain,
        finetune=_quick(preset.finetune, TOY.finetune),
        classifier=classifier.changed(
            phases=TOY.classifier.with_epochs(1, 2).phases,
            batch_size=min(classifier.batch_size, TOY.classifier.batch_size),
            maximum_tokens=min(classifier.maximum_tokens or MOST_TOKENS, MOST_TOKENS),
            least_steps=0,
            **_ALONE,
        ),
        from_scratch_rate=None,
        max_documents=_smaller(preset.max_documents, MOST_DOCUMENTS),
        max_tokens=_smaller(preset.max_tokens, MOST_WORDS),
    )


_ALONE = {"gpus": 0, "nodes": 1}
"""One process: several begin more slowly than a trial ends."""


def _tiny(architecture: Architecture) -> Architecture:
    tiny = TOY.pretrain.architecture
    return architecture.changed(
        embedding_size=min(architecture.embedding_size, tiny.embedding_size),
        hidden_size=min(architecture.hidden_size, tiny.hidden_size),
        layers=min(architecture.layers, tiny.layers),
    )


def _quick(settings: Language, toy: TrainingSettings) -> Language:
    """Return the settings of a language model with one epoch in small batches."""
    rate = toy.phases[-1].learning_rate
    return settings.changed(
        phases=(Phase(epochs=1, learning_rate=rate, discriminative=1),),
        batch_size=min(settings.batch_size, toy.batch_size),
        sampled_softmax=min(settings.sampled_softmax, MOST_PIECES // 4),
        **_ALONE,
    )


def _small_corpus(corpus: CorpusStage) -> CorpusStage:
    """Return a corpus that reads and keeps little, and so do those that it is made from."""
    fields = {name: _small(getattr(corpus, name)) for name in type(corpus).model_fields}
    if "first_megabytes" in fields:
        fields["first_megabytes"] = _smaller(fields["first_megabytes"], MOST_MEGABYTES)
    fields["max_documents"] = _smaller(corpus.max_documents, MOST_DOCUMENTS)
    fields["max_tokens"] = _smaller(corpus.max_tokens, MOST_WORDS)
    if isinstance(dump := getattr(corpus, "dump", None), File):
        fields["dump"] = DumpBeginning(dump=dump, megabytes=MOST_MEGABYTES)
    return corpus.changed(**fields)


def _small(value: Any) -> Any:
    """Return the small form of a stage that a corpus is made from, and anything else as it is."""
    if isinstance(value, CorpusStage):
        return _small_corpus(value)
    if isinstance(value, DatasetStage):
        return SampledDataset(dataset=value)
    if isinstance(value, Wikipedia):
        fields = {name: getattr(value, name) for name in Wikipedia.model_fields}
        return WikipediaBeginning(**fields, megabytes=MOST_MEGABYTES)
    if isinstance(value, DumpStage):
        return DumpBeginning(dump=value, megabytes=MOST_MEGABYTES)
    return tuple(map(_small, value)) if isinstance(value, tuple) else value


def _smaller(limit: int | None, most: int) -> int:
    return most if limit is None else min(limit, most)


def trial_label(counts: dict[str, list[int]] | None) -> str:
    """Return the label of a trial's record; `counts` are texts kept and texts there are, by split."""
    sampled = [f"{kept:,} of {of:,} {split} texts" for split, (kept, of) in (counts or {}).items()]
    return TRIAL_LABEL + ", ".join(["a tiny model", f"at most {MOST_WORDS:,} words of the corpus", *sampled])


def is_trial(configuration: Mapping[str, Any]) -> bool:
    """Return whether a record's configuration is that of a trial."""
    return bool(configuration.get("trial"))
