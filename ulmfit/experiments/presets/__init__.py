"""Presets: every published setting with its source, and small ones of ours.

`published.py` lists the published ones by the names that `--preset` takes in every recipe; what no source
states stands in `ours.py`.
"""

from ulmfit.experiments.presets.multifit import MULTIFIT, MULTIFIT_FP16, MULTIFIT_VOCABULARY
from ulmfit.experiments.presets.originals import ULMFIT_DROPOUTS
from ulmfit.experiments.presets.ours import OURS
from ulmfit.experiments.presets.preset import (
    ALL_COMPARISONS,
    Comparison,
    Preset,
    VocabularySettings,
)
from ulmfit.experiments.presets.published import PUBLISHED, PublishedPreset
from ulmfit.experiments.presets.small import SMALL, TOY, head_then_all
from ulmfit.experiments.presets.ulmfit import ULMFIT, ULMFIT_WORDS

__all__ = [
    "ALL_COMPARISONS",
    "MULTIFIT",
    "MULTIFIT_FP16",
    "MULTIFIT_VOCABULARY",
    "OURS",
    "PUBLISHED",
    "SMALL",
    "TOY",
    "ULMFIT",
    "ULMFIT_DROPOUTS",
    "ULMFIT_WORDS",
    "Comparison",
    "Preset",
    "PublishedPreset",
    "VocabularySettings",
    "head_then_all",
]
