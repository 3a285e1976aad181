"""The published presets as Markdown: their values, their sources, and what is ours."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from ulmfit.experiments.presets.ours import OURS
from ulmfit.experiments.presets.preset import Preset, VocabularySettings
from ulmfit.experiments.presets.published import PUBLISHED, Origin
from ulmfit.training.settings import TrainingSettings


def presets_markdown() -> str:
    """Return a table of all published presets, a section for each source, and a table of what is ours."""
    return "\n\n".join([_table(), *_sections(), _ours()])


def _table() -> str:
    lines = [
        "| `--preset` | layers | vocabulary | pretraining | fine-tuning | classifier |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_cells(name, one.preset))} |" for name, one in PUBLISHED.items()]
    return "\n".join(lines)


def _cells(name: str, preset: Preset) -> list[str]:
    size = preset.pretrain.architecture
    return [
        f"`{name}`",
        f"{size.layers} {size.kind.upper()} of {size.hidden_size}",
        _vocabulary(preset.vocabulary),
        _training(preset.pretrain),
        _training(preset.finetune),
        _training(preset.classifier),
    ]


def _vocabulary(vocabulary: VocabularySettings) -> str:
    if vocabulary.kind == "words":
        return f"{vocabulary.size:,} words"
    marks = vocabulary.marks or vocabulary.reading == "multifit"
    return f"{vocabulary.size:,} {'' if marks else 'cased '}pieces"


def _training(settings: TrainingSettings) -> str:
    """Return the phases' epochs with their highest rates, those of one rate together, and the batch size."""
    phases = [
        f"{' + '.join(str(phase.epochs) for phase in group)} at {rate:.3g}"
        for rate, group in groupby(settings.phases, key=lambda phase: phase.learning_rate)
    ]
    return f"{', '.join(phases)}; batch {settings.batch_size}"


def _sections() -> Iterator[str]:
    """Yield a section for each origin, in the order of the table."""
    for origin in dict.fromkeys(one.origin for one in PUBLISHED.values()):
        names = ", ".join(f"`{name}`" for name, one in PUBLISHED.items() if one.origin == origin)
        yield _section(origin, names)


def _section(origin: Origin, names: str) -> str:
    return "\n".join(
        [
            f"## {origin.title}",
            "",
            f"{names}. {origin.source}",
            "",
            f"- **What the recipe adds.** {origin.beside}",
            f"- **Published.** {origin.result}",
            f"- **Out of reach.** {origin.out_of_reach}",
        ]
    )


def _ours() -> str:
    lines = ["## Ours", "", "| `OURS` | value | what it is, and why |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {str(getattr(OURS, name)).lower()} | {field.description} |"
        for name, field in type(OURS).model_fields.items()
    ]
    return "\n".join(lines)
