"""Presets of ours: small models for two processor cores, of which most recipes' own presets are made."""

from __future__ import annotations

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.experiments.presets.originals import ULMFIT_DROPOUTS
from ulmfit.experiments.presets.ours import OURS
from ulmfit.experiments.presets.preset import Preset, VocabularySettings
from ulmfit.language_model.settings import Architecture, Dropouts, FineTuneSettings, PretrainSettings
from ulmfit.training.settings import Phase


def head_then_all(
    head_rate: float, rate: float, epochs: int, discriminative: float = 2.6
) -> tuple[Phase, ...]:
    """Return one epoch of the top group alone, then `epochs` of all groups, each one cycle."""
    return (
        Phase(epochs=1, learning_rate=head_rate, trainable_groups=1),
        Phase(epochs=epochs, learning_rate=rate, discriminative=discriminative),
    )


SMALL = Preset(
    note="small: 3 layers of 400 units, 8k pieces and bytes, a CPU's half hour",
    vocabulary=VocabularySettings(size=8_000),
    pretrain=PretrainSettings(
        architecture=Architecture(embedding_size=200, hidden_size=400, layers=3),
        phases=(Phase(epochs=1, learning_rate=5e-3, discriminative=1),),
        batch_size=32,
        dropouts=Dropouts(multiplier=0.2),
        gradient_clip=0.25,
    ),
    finetune=FineTuneSettings(
        phases=head_then_all(5e-3, 4e-3, 2),
        batch_size=32,
        dropouts=Dropouts(multiplier=0.3),
        gradient_clip=0.25,
    ),
    classifier=ClassifierSettings(
        # Gradual unfreezing at rates divided by 2.6 a layer leaves the lower layers as they were: a language
        # model that has read this little has more to learn from a few hundred steps than it has to lose.
        phases=head_then_all(1e-2, 3e-3, 5, discriminative=1),
        batch_size=32,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
        ar=OURS.classifier_ar,
        tar=OURS.classifier_tar,
    ),
    directions=("forward",),
)

TOY = Preset(
    note="toy size: 2 layers of 128 units",
    vocabulary=VocabularySettings(size=1_500),
    pretrain=PretrainSettings(
        architecture=Architecture(embedding_size=64, hidden_size=128, layers=2),
        phases=(Phase(epochs=3, learning_rate=1e-2, discriminative=1),),
        batch_size=32,
        bptt=50,
        dropouts=Dropouts(multiplier=0.3),
        gradient_clip=0.25,
    ),
    finetune=FineTuneSettings(
        phases=head_then_all(1e-2, 5e-3, 3), batch_size=16, bptt=50, dropouts=Dropouts(multiplier=0.5)
    ),
    classifier=ClassifierSettings(
        # Not gradual unfreezing: with few texts there are too few steps for its low rates of low layers.
        phases=head_then_all(1e-2, 3e-3, 15, discriminative=1),
        batch_size=16,
        dropouts=ULMFIT_DROPOUTS.changed(multiplier=0.5),
        ar=OURS.classifier_ar,
        tar=OURS.classifier_tar,
    ),
    directions=("forward",),
)
