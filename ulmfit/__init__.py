"""ULMFiT for morphologically rich languages: from a Wikipedia dump to a results table.

The names below are the front door. Each is imported when it is first asked for, so that `import ulmfit` costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

PUBLIC = {
    "Recipe": "ulmfit.experiments.recipe",
    "load_recipe": "ulmfit.experiments.recipe",
    "Preset": "ulmfit.experiments.presets",
    "VocabularySettings": "ulmfit.experiments.presets",
    "PublishedResult": "ulmfit.evaluation.published",
    "FrozenEncoder": "ulmfit.evaluation.encoder_stages",
    "PairFile": "ulmfit.evaluation.minimal_pairs",
    "File": "ulmfit.pipeline.assets",
    "Catalogue": "ulmfit.pipeline.assets",
    "Wikipedia": "ulmfit.corpus.stages",
    "WikipediaCorpus": "ulmfit.corpus.stages",
    "ExtractedCorpus": "ulmfit.corpus.stages",
    "TextFiles": "ulmfit.corpus.stages",
    "JoinedCorpus": "ulmfit.corpus.stages",
    "DatasetTexts": "ulmfit.corpus.dataset_texts",
    "LabelledFiles": "ulmfit.datasets.stages",
    "DataScript": "ulmfit.datasets.stages",
    "TextClassifier": "ulmfit.bundle.classifier",
    "LanguageModel": "ulmfit.bundle.language_model",
    "ULMFiTClassifier": "ulmfit.bundle.estimator",
}
"""Public names and the module that each comes from."""

__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
