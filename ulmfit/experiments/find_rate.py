"""`ulmfit find-rate`: the learning-rate range test for a recipe's language model."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ulmfit.experiments.pinning import pinned
from ulmfit.experiments.recipe import Recipe
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.files import write_json, write_text
from ulmfit.pipeline.launch import LaunchingRunner
from ulmfit.pipeline.stage import Work

if TYPE_CHECKING:
    from ulmfit.training.loop import ResumableLearner
    from ulmfit.training.rate_finder import RateSearch

RATES, PLOT = "rates.json", "rates.svg"

STYLE = """
svg { font: 12px sans-serif; background: white } .title { fill: #222 } .tick { fill: #555 }
.grid { stroke: #e4e4e4 } .axis { stroke: #777 } .divider { stroke: #b44; stroke-dasharray: 4 3 }
.line { fill: none; stroke: #246; stroke-width: 2 }
"""


def find_rate(recipe: Recipe, kind: str, runs: Path, mirror: Path | None = None) -> tuple[RateSearch, Path]:
    """Search the rate of a recipe's `pretrain` or `finetune`; return what was found and the plot's path.

    Builds what the language model is trained on. The curve is written to rates.json and rates.svg in the
    recipe's folder. Texts are cut as `subword_sampling=0` cuts them.
    """
    from ulmfit.language_model.model import layer_groups
    from ulmfit.training.out_of_memory import names_batch_size
    from ulmfit.training.rate_finder import find_rate as search
    from ulmfit.training.schedules import layer_rates

    runner = LaunchingRunner(runs, mirror)
    recipe = pinned(recipe, recipe.file, runner)
    stage = _stage(recipe, kind)
    for upstream in stage.upstream():
        runner.build(upstream)
    with TemporaryDirectory() as folder, names_batch_size(stage.settings.batch_size):
        learn = _learner(stage, Work(runner, stage, Path(folder)))
        phase = stage.settings.phases[0]
        if phase.trainable_groups:
            learn.freeze_to(-phase.trainable_groups)
        rates = layer_rates(phase, len(layer_groups(learn.inner))) / phase.learning_rate
        found = search(learn, group_rates=rates.tolist())
    if found.valley is None:
        raise StageFailed(f"the loss was undefined after {len(found.rates)} steps: no rate can be suggested")
    results = runs / recipe.run_name
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / RATES, {"stage": kind, "key": runner.keys.key(stage), **asdict(found)})
    write_text(results / PLOT, plot(found, f"{recipe.run_name}: {kind}"))
    return found, results / PLOT


def plot(found: RateSearch, title: str) -> str:
    """Return an SVG file: smoothed loss over rate, with a rule at each suggestion."""
    from ulmfit.report.charts import Series, line_chart

    points = [(math.log10(rate), loss) for rate, loss in zip(found.rates, found.losses, strict=True)]
    suggestions = [math.log10(rate) for rate in (found.valley, found.steep) if rate]
    chart = line_chart(
        [Series("loss", "", points)],
        title=f"{title}: loss over learning rate",
        x_title="learning rate, power of 10; dashed: suggestions",
        y_title="training loss, smoothed",
        dividers=suggestions,
    )
    head, rest = str(chart).split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{rest}\n'


def _stage(recipe: Recipe, kind: str) -> Pretrain | FineTune:
    """Return the recipe's first stage of this kind."""
    if kind not in ("pretrain", "finetune"):
        raise InputError(f"--stage {kind}: expected pretrain or finetune")
    for stage in recipe.stages().language_models():
        if stage.stage_name == kind:
            return stage
    reason = "imports its language model" if kind == "pretrain" else "has no data set to adapt one to"
    raise InputError(f"--stage {kind}: {recipe.name} {reason}")


def _learner(stage: Pretrain | FineTune, work: Work) -> ResumableLearner:
    """Return a learner on the model and the training tokens that the stage begins with."""
    import torch

    from ulmfit.language_model.folder import load_for_tokenizer, piece_counts
    from ulmfit.language_model.learner import language_model_learner
    from ulmfit.language_model.loader import as_read
    from ulmfit.language_model.model import LanguageModel
    from ulmfit.tokens.arrays import TokenArray
    from ulmfit.tokens.loading import load_tokenizer

    # A CUDA graph keeps the rate that it was made with.
    settings = stage.settings.changed(cuda_graphs=False)
    seed = stage.settings.seed if isinstance(stage, Pretrain) else stage.seed
    torch.manual_seed(seed)
    tokenizer = load_tokenizer(work.input(stage.tokens.tokenizer))
    folder = work.input(stage.tokens)
    if isinstance(stage, Pretrain):
        model = LanguageModel(tokenizer.size, stage.settings.architecture, settings.dropouts)
    else:
        counts = piece_counts(folder, tokenizer.size)
        model, _ = load_for_tokenizer(stage.pretrained, tokenizer, settings.dropouts, work, counts)
    backward = stage.direction == "backward"
    train, valid = (
        as_read(
            TokenArray.open(folder, split), tokenizer.bos_id, backward=backward, order=stage.backward_order
        )
        for split in ("train", "valid")
    )
    return language_model_learner(
        model, train.tokens, valid.tokens, settings, offsets=train.offsets, seed=seed, log=work.log
    )
