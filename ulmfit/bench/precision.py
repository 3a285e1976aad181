"""`ulmfit bench precision`: what bf16 costs a language model, by the same training in fp32, seed by seed.

Each seed pretrains the recipe's language model twice from the same token arrays: same initial weights, same
batches, and the same dropout masks as far as these are drawn alike. Trained stages are kept in the folder of
runs: the bench goes on where it was stopped, and asks nothing twice.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ulmfit.bench.compare import aligned
from ulmfit.bench.run import Options, Report
from ulmfit.experiments.driver import STAGE_LIST, listed_stages
from ulmfit.language_model.stages import Pretrain
from ulmfit.pipeline import provenance
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json
from ulmfit.pipeline.launch import LaunchingRunner
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage

if TYPE_CHECKING:
    from ulmfit.experiments.recipe import Recipe

USES = frozenset({"recipe"})
PRECISIONS: tuple[Literal["fp32"], Literal["bf16"]] = ("fp32", "bf16")
CONFIDENCE = 0.95

Log = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """What one training gave."""

    loss: float
    """On the validation documents, nats a token, scored in the precision of the training."""
    loss_in_fp32: float
    """The same weights scored in fp32."""
    tokens_per_second: float
    skipped_steps: int
    machine: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        return {
            "valid_loss": self.loss,
            "valid_loss_scored_in_fp32": self.loss_in_fp32,
            "tokens_per_second": round(self.tokens_per_second, 1),
            "skipped_steps": self.skipped_steps,
            "machine": self.machine,
        }


@dataclass(frozen=True)
class Pair:
    """One seed, trained in both precisions."""

    seed: int
    fp32: Trained
    bf16: Trained

    @property
    def difference(self) -> float:
        """By how much the loss of bf16 is higher, both scored in fp32."""
        return self.bf16.loss_in_fp32 - self.fp32.loss_in_fp32


def run(options: Options, folder: Path, log: Log) -> Report:
    """Train what is not trained yet, seeds 0 to `repetitions` - 1, and compare the validation losses."""
    recipe = options.recipe
    if recipe is None:
        raise InputError("bench precision needs a recipe: give --recipe, and --preset for its size")
    runner = LaunchingRunner(options.runs, options.mirror)
    base = _pretrain_stage(recipe)
    seeds = range(options.repetitions)
    stages = {(seed, name): _variant(base, seed, name) for seed in seeds for name in PRECISIONS}
    _keep(runner, runner.order(*stages.values()), options.runs / "bench-precision" / recipe.run_name)
    pairs = []
    for seed in seeds:
        # What stages print would stand between the objects of --json.
        with contextlib.redirect_stdout(sys.stderr):
            fp32, bf16 = (_trained(runner, stages[seed, name]) for name in PRECISIONS)
        pairs.append(Pair(seed, fp32, bf16))
        log(f"seed {seed}: fp32 {fp32.loss:.4f}, bf16 {bf16.loss:.4f} nats a token")
    described = {"recipe": recipe.name, "preset": recipe.preset_name, "overrides": list(recipe.overrides)}
    return report(pairs, {**described, "title": recipe.title, "direction": base.direction})


def _keep(runner: Runner, stages: Sequence[Stage], folder: Path) -> None:
    """Add stages to a list as recipes have them: `ulmfit clean` leaves alone what it names."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / STAGE_LIST
    known = listed_stages(path) if path.exists() else []
    keys = [(stage.stage_name, runner.keys.key(stage)) for stage in stages]
    write_json(path, [*known, *(pair for pair in keys if pair not in known)])


def _pretrain_stage(recipe: Recipe) -> Pretrain:
    stage = next(iter(recipe.stages().pretrained.values()))
    if not isinstance(stage, Pretrain):
        raise InputError(f"recipe {recipe.name} does not pretrain: its language model is imported")
    return stage


def _variant(base: Pretrain, seed: int, precision: Literal["fp32", "bf16"]) -> Pretrain:
    return base.changed(settings=base.settings.changed(seed=seed, precision=precision))


def _trained(runner: Runner, stage: Pretrain) -> Trained:
    folder = runner.build(stage)
    metrics, manifest = read_json(folder / "metrics.json"), runner.manifest(stage)
    assert manifest is not None
    if "valid" not in metrics:
        raise InputError("the corpus of the recipe has no validation documents: raise its valid_fraction")
    loss = metrics["valid"]["loss"]
    scored = metrics["valid"]["scoring_precision"]
    return Trained(
        loss=loss,
        loss_in_fp32=loss if scored == "fp32" else loss_in_fp32(folder, runner.folder(stage.tokens), stage),
        tokens_per_second=manifest["measures"]["tokens_per_second"],
        skipped_steps=int(manifest["measures"].get("skipped_updates", 0)),
        machine=manifest["machine"],
    )


def loss_in_fp32(model_folder: Path, tokens_folder: Path, stage: Pretrain) -> float:
    """Return the validation loss of a trained model, scored in fp32 whatever it was trained in."""
    from ulmfit.language_model.compute import choose_compute
    from ulmfit.language_model.evaluate import document_losses
    from ulmfit.language_model.folder import load_language_model
    from ulmfit.language_model.settings import Dropouts
    from ulmfit.tokens.arrays import TokenArray
    from ulmfit.training.distribution import choose_device

    settings = stage.settings
    device = choose_device(settings.device)
    model = load_language_model(model_folder, Dropouts()).to(device)
    model.set_compute(choose_compute("fp32", settings.engine, device, lambda line: None))
    array = TokenArray.open(tokens_folder, "valid")
    losses = document_losses(model, array, settings.evaluation_batch, backward=stage.direction == "backward")
    return math.fsum(losses) / (len(array.tokens) - len(array))


# --- Output -------------------------------------------------------------------------------------------------


def report(pairs: Sequence[Pair], described: Mapping[str, Any]) -> Report:
    """Return losses side by side; a case a seed, and one of all seeds."""
    common = {"bench": "precision", "input": described, "machine": provenance.describe()}
    cases: list[dict[str, Any]] = [
        {
            "case": f"seed {pair.seed}",
            "unit": "nats a token",
            "fp32": pair.fp32.as_json(),
            "bf16": pair.bf16.as_json(),
            "difference": pair.difference,
            "scoring_difference": pair.bf16.loss - pair.bf16.loss_in_fp32,
            "speed_ratio": pair.bf16.tokens_per_second / pair.fp32.tokens_per_second,
            **common,
        }
        for pair in pairs
    ]
    summary = summarise(pairs)
    return Report(_table(pairs, summary), [*cases, {**summary, **common}])


def summarise(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return means, standard deviations and the paired difference (bf16 - fp32) over the seeds.

    All losses are scored in fp32, so that the difference is that of the trainings. The interval is Student's
    for a mean of pairs; None with one seed.
    """
    differences = [pair.difference for pair in pairs]
    mean, sd = _mean_and_sd(differences)
    half = None
    if sd is not None:
        from scipy.stats import t

        half = float(t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1)) * sd / math.sqrt(len(pairs))
    return {
        "case": f"{len(pairs)} seeds",
        "unit": "nats a token",
        **{
            name: dict(zip(("mean", "sd"), _mean_and_sd([loss(pair) for pair in pairs]), strict=True))
            for name, loss in (
                ("fp32", lambda pair: pair.fp32.loss_in_fp32),
                ("bf16", lambda pair: pair.bf16.loss_in_fp32),
            )
        },
        "difference": {
            "mean": mean,
            "sd": sd,
            "interval": None if half is None else [mean - half, mean + half],
            "confidence": CONFIDENCE,
        },
        "speed_ratio": statistics.median(
            pair.bf16.tokens_per_second / pair.fp32.tokens_per_second for pair in pairs
        ),
    }


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _table(pairs: Sequence[Pair], summary: Mapping[str, Any]) -> str:
    head = ("", "loss, fp32", "loss, bf16", "difference", "bf16 scored in bf16")
    rows: list[Sequence[str]] = [(*head, "tokens/s, fp32", "bf16", "ratio")]
    for pair in pairs:
        speeds = pair.fp32.tokens_per_second, pair.bf16.tokens_per_second
        rows.append(
            (
                f"seed {pair.seed}",
                f"{pair.fp32.loss_in_fp32:.5f}",
                f"{pair.bf16.loss_in_fp32:.5f}",
                f"{pair.difference:+.5f}",
                f"{pair.bf16.loss:.5f}",
                *(f"{speed:,.0f}" for speed in speeds),
                f"{speeds[1] / speeds[0]:.2f}",
            )
        )
    means = (summary[name]["mean"] for name in (*PRECISIONS, "difference"))
    rows.append(("mean", *(f"{mean:.5f}" for mean in means), "", "", "", f"{summary['speed_ratio']:.2f}"))
    spreads = [summary[name]["sd"] for name in (*PRECISIONS, "difference")]
    rows.append(("sd", *("–" if sd is None else f"{sd:.5f}" for sd in spreads), "", "", "", ""))
    return "\n".join([*aligned(rows), _conclusion(summary)])


def _conclusion(summary: Mapping[str, Any]) -> str:
    difference, spread = summary["difference"], summary["fp32"]["sd"]
    if difference["interval"] is None:
        return "validation loss in nats a token; one seed says nothing of the spread"
    low, high = difference["interval"]
    return (
        f"validation loss in nats a token; bf16 costs {difference['mean']:+.5f} "
        f"({100 * CONFIDENCE:.0f}% interval of the pairs {low:+.5f} to {high:+.5f}); "
        f"seeds alone differ by {spread:.5f} (standard deviation in fp32)"
    )
