"""A recipe that runs from text to table in seconds; tests run it as a user would."""

from stages_for_tests import InventedCorpus, InventedDataset

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.experiments.presets import Preset, VocabularySettings
from ulmfit.experiments.recipe import Recipe
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings, PretrainSettings
from ulmfit.training.settings import Phase

TINY = Preset(
    note="tiny",
    vocabulary=VocabularySettings(size=80, byte_fallback=False),
    pretrain=PretrainSettings(
        architecture=Architecture(embedding_size=16, hidden_size=24, layers=2),
        phases=(Phase(epochs=2, learning_rate=1e-2),),
        batch_size=8,
        bptt=12,
        checkpoint_steps=10,
    ),
    finetune=FineTuneSettings(phases=(Phase(),), batch_size=8, bptt=12, checkpoint_steps=10),
    classifier=ClassifierSettings(
        phases=(Phase(epochs=12, learning_rate=1e-2),),
        dropouts=Dropouts(multiplier=0.2),
        batch_size=8,
        checkpoint_steps=50,
    ),
)

TINY_OVERRIDES = (
    "vocabulary.size=600",
    "pretrain.architecture.embedding_size=8",
    "pretrain.architecture.hidden_size=12",
    "pretrain.architecture.layers=2",
    "pretrain.phases=[{}]",
    "finetune.phases=[{}]",
    "classifier.phases=[{}]",
)
"""What makes any recipe tiny, as `--set` takes it."""

recipe = Recipe(
    name="test/tiny",
    title="Tiny test",
    language="qaa",
    corpus=InventedCorpus(),
    dataset=InventedDataset(),
    presets={"tiny": TINY, "forward": TINY.changed(directions=("forward",))},
    seeds=(0, 1),
)

if __name__ == "__main__":
    recipe.main()
