"""Repeats a record: runs what it names again, and compares every figure.

Figures depend on configuration, seeds and inputs: if these are not the record's, nothing is run. Versions,
hardware and commit may differ; differences are printed. Each figure is then one of

- same: every value is the same to the last bit;
- inside: the mean is no further than twice the recorded standard deviation over the seeds from the recorded
  mean; without one, inside the recorded confidence interval, or, where there is none either, equal to within
  EQUAL; a language model's loss within LOSS_TOLERANCE;
- outside: everything else, a figure that is missing included.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ulmfit.evaluation.metric_text import shown_number
from ulmfit.experiments import driver
from ulmfit.experiments.presets import PUBLISHED
from ulmfit.experiments.recipe import (
    Recipe,
    RecipeNotFound,
    check_told_overrides,
    load_named_recipe,
    load_recipe,
    validated,
)
from ulmfit.experiments.recipe_settings import NAME, RecipeSettings
from ulmfit.experiments.results import RECORD, configuration
from ulmfit.experiments.trial import is_trial
from ulmfit.pipeline import provenance
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.printing import printable
from ulmfit.pipeline.progress import say
from ulmfit.pipeline.runner import Runner, add_numbered
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings

if TYPE_CHECKING:
    from ulmfit.evaluation.record import MetricValues, Record
    from ulmfit.language_model.figures import LanguageModelResult

RUNS = Path("runs") / "verify"
EQUAL = 1e-6
LOSS_TOLERANCE = 0.02
"""Nats per token, about 2 % of perplexity: what other threads, precisions and processors change."""
SPREADS = 2
"""Largest distance of a mean over seeds, in recorded standard deviations."""
WORDS_ONLY = frozenset({"title", "notes", "settings.note"})
"""Parts of a configuration that no figure depends on."""

CHOSEN = ("train_sizes", "label_noise", "curve_choice")
"""Fields that options of the command set, beside preset, seeds and overrides; records may lack them."""
COMMIT = re.compile(r"[0-9a-f]{7,64}")

Verdict = Literal["same", "inside", "outside"]
Print = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """One figure, recorded and now; None: it is missing."""

    name: str
    recorded: float
    now: float | None
    verdict: Verdict
    measure: str
    """The allowed range, in words."""


def verify(
    path: Path,
    runs: Path | None,
    mirror: Path | None,
    reference: str | None,
    language_model: File | None = None,
    say: Print = say,
) -> list[Figure]:
    """Run what the record at `path` names again, and compare; `say` gets the lines for a reader.

    `reference` names the recipe where the record's own name does not find it; `language_model` is the bundle
    that the run began with, if it did. Raises InputError when configuration or inputs are not the record's,
    and StageFailed when a figure is outside.
    """
    from ulmfit.evaluation.record import read_record

    record = read_record(path)
    recipe = recorded_recipe(record, reference, language_model)
    check_configuration(record, recipe)
    runs = runs or RUNS
    runner = Runner(runs, mirror)
    check_inputs(record.inputs, known_inputs(recipe, runner))
    here = {"commit": provenance.commit(), **provenance.versions()}
    for line in other_values({"commit": record.commit, **record.versions}, here):
        say(line)
    states = driver.states(recipe, runs, mirror)
    used_again = [state for state in states if state.state == "done"]
    for state in used_again:
        say(f"used again: {state.title} {state.key}")
    folder = driver.run(recipe, runs, mirror)
    if folder is None:
        return []  # A process under torchrun that is not the first.
    new = read_record(folder / RECORD)
    check_inputs(record.inputs, new.inputs, complete=True)
    figures = compare(record, new)
    for line in (*other_values(record.hardware, new.hardware), *table(figures)):
        say(line)
    of_these = f"; {len(used_again)} of {len(states)} stages were not run again, see above"
    verdict = verdict_of(figures) + (of_these if used_again else "")
    if any(figure.verdict == "outside" for figure in figures):
        raise StageFailed(verdict)
    say(verdict)
    return figures


def recorded_recipe(
    record: Record, reference: str | None = None, language_model: File | None = None
) -> Recipe:
    """Return the recipe of a record with its preset, seeds and overrides; InputError when there is none.

    A record, which is data, names the bundle that the run began with, but not where it lies.
    """
    check_recorded(record.recipe, record.configuration.get("overrides", ()))
    try:
        recipe = load_recipe(reference) if reference else load_named_recipe(record.recipe)
    except RecipeNotFound as error:
        advice = "" if reference else "; give the recipe's file with --recipe"
        raise InputError(f"{error}{advice}") from error
    if recipe.name != record.recipe:
        raise InputError(f"the record is of {record.recipe}, the recipe is {recipe.name}: give its own")
    advice = _advice(record)
    if record.preset not in {*recipe.presets, *PUBLISHED}:
        raise InputError(f"{recipe.name} has no preset {record.preset!r} any more; {advice}")
    recorded = of_its_time(record.configuration)
    chosen = {name: recorded[name] for name in CHOSEN if name in recorded}
    chosen["language_model"] = _given_bundle(record, recipe, language_model)
    if "minimal_pairs" not in recorded:
        chosen["minimal_pairs"] = None  # A card that came later changes no other figure.
    try:
        recipe = validated(lambda: recipe.changed(preset=record.preset), "record")
        recipe = recipe.as_trial() if is_trial(recorded) else recipe
        recipe = validated(lambda: recipe.changed(seeds=record.seeds, **chosen), "record")
        recipe = recipe.with_overrides(recorded.get("overrides", ()))
        return validated(lambda: _with_rows(recipe, recorded.get("settings")), "record")
    except InputError as error:
        raise InputError(f"{error}; {advice}") from error


def of_its_time(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a recorded configuration with what it meant before there were fields for it.

    Curves over train sizes chose on the validation split before there was `curve_choice`.
    """
    if configuration.get("train_sizes"):
        return {"curve_choice": "validation", **configuration}
    return configuration


def _with_rows(recipe: Recipe, settings: Any) -> Recipe:
    """Return the recipe with the rows of a record, where its preset has got more of them since."""
    rows = settings.get("comparisons") if isinstance(settings, Mapping) else None
    if rows is None:
        return recipe
    preset = recipe.settings.changed(comparisons=rows)
    return recipe.changed(presets={**recipe.presets, recipe.preset_name: preset})


def _given_bundle(record: Record, recipe: Recipe, given: File | None) -> File | None:
    """Return the bundle that the recipe or `given` names; InputError where it is not the record's."""
    bundle = recipe.language_model if given is None else given
    recorded = record.configuration.get("language_model")
    name = str(recorded.get("path")) if isinstance(recorded, Mapping) else None
    if bundle is None and isinstance(recorded, Mapping):
        shown = recorded.get("source") or name
        raise InputError(
            f"the run began with the language model of the bundle {shown!r}: give that folder with "
            f"--language-model"
        )
    if bundle is not None and bundle.label != name:
        expected = f"the record's is called {name!r}" if name else "the run of the record began with none"
        raise InputError(f"--language-model {bundle.label}: {expected}")
    return bundle


def check_recorded(name: str, overrides: Any) -> None:
    """Raise InputError where a record would choose the code that is run: records are data.

    Its recipe has to be a name, not a file, and its overrides may not name another data script.
    """
    if not re.fullmatch(NAME, name) or Path(name).is_file():
        raise InputError(
            f"the record's recipe is {name!r}: expected a name such as toy/sentiment; give the recipe's file "
            "with --recipe if you trust it"
        )
    check_told_overrides(overrides, "record")


def _advice(record: Record) -> str:
    commit = record.commit.removesuffix("+changes")
    if not COMMIT.fullmatch(commit):  # The commit becomes part of a command that users copy.
        return "the record names no commit to check out"
    changed = ", though it was made with changes that no commit holds" if record.commit != commit else ""
    return f"to repeat the record check out its commit: git checkout {commit}{changed}"


# --- Configuration and inputs -------------------------------------------------------------------------------


def check_configuration(record: Record, recipe: Recipe) -> None:
    """Raise InputError that names the fields in which a recipe is not what the record was made with."""
    used = recipe.stages().recipe
    passed_over = (
        WORDS_ONLY | set(_fields_not_in_key(used)) | set(_fields_not_in_key(used.settings, "settings"))
    )
    read_no_corpus = used.language_model is not None
    found = [
        f"{name} was {recorded!r}, now {now!r}"
        for name, recorded, now in differences(
            of_its_time(record.configuration), configuration(used), _defaults(used)
        )
        if name not in passed_over and not (read_no_corpus and name.startswith("corpus."))
    ]
    if found:
        listed = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
        raise InputError(f"the configuration is not the record's: {listed}. {_advice(record)}")


ABSENT = "absent"


def differences(recorded: Any, now: Any, defaults: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield name, recorded and present value of every field that differs.

    A field that came after the record counts as the same when it has its default: when `defaults`, which is
    `now` without such fields, does not have it.
    """
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        for field in sorted({*recorded, *now}):
            inner = f"{name}.{field}" if name else field
            rest = defaults.get(field, ABSENT) if isinstance(defaults, Mapping) else ABSENT
            if field not in recorded and rest == ABSENT:
                continue
            yield from differences(recorded.get(field, ABSENT), now.get(field, ABSENT), rest, inner)
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        as_long = isinstance(defaults, list) and len(defaults) == len(now)
        rests = defaults if as_long else [ABSENT] * len(now)
        for index, (one, other, rest) in enumerate(zip(recorded, now, rests, strict=True)):
            yield from differences(one, other, rest, f"{name}.{index}")
    elif recorded != now:
        yield name, recorded, now


def _defaults(recipe: RecipeSettings) -> dict[str, Any]:
    """Return the configuration without the fields that have their defaults."""
    content = recipe.model_dump(
        mode="json", serialize_as_any=True, exclude={"presets"}, exclude_defaults=True
    )
    settings = recipe.settings.model_dump(mode="json", exclude_defaults=True)
    return {**content, "settings": settings}


def _fields_not_in_key(value: Any, name: str = "") -> Iterator[str]:
    """Yield the names of fields that cannot change a result, as they stand in a configuration."""
    if isinstance(value, Settings):
        for field, described in type(value).model_fields.items():
            inner = f"{name}.{field}" if name else field
            if NOT_IN_KEY in described.metadata:
                yield inner
            elif inner != "presets":
                yield from _fields_not_in_key(getattr(value, field), inner)
    elif isinstance(value, dict):
        for field, item in value.items():
            yield from _fields_not_in_key(item, f"{name}.{field}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _fields_not_in_key(item, f"{name}.{index}")


def known_inputs(recipe: Recipe, runner: Runner) -> dict[str, str]:
    """Return the SHA-256 of every input file that is known before anything is built, by name."""
    inputs: dict[str, str] = {}
    for stage in runner.order(*recipe.stages().all()):
        for file in stage.input_files():
            add_numbered(inputs, file.label, runner.keys.file_hash(file))
    return inputs


def check_inputs(recorded: Mapping[str, str], now: Mapping[str, str], *, complete: bool = False) -> None:
    """Raise InputError when a file has another content than the record says, or the record does not know it.

    Where `now` is `complete`, a file that only the record has is an error as well. Files of one name are
    numbered in the order of the stages, which may change: they are compared together.
    """
    before, after = _by_name(recorded), _by_name(now)
    if complete and (unread := sorted(set(before) - set(after))):
        raise InputError(
            f"input {unread[0]}: the record was made from it, and nothing here reads such a file"
        )
    for name, hashes in after.items():
        if not hashes <= before.get(name, set()):
            listed = ", ".join(sorted(before.get(name, ()))) or "no file of this name"
            raise InputError(
                f"input {name}: the record has {listed}, here is {', '.join(sorted(hashes))}: "
                "give the file that the record was made from"
            )


def _by_name(inputs: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name, content in inputs.items():
        bare, _, number = name.rpartition(" (")
        found[bare if bare and number.removesuffix(")").isdigit() else name].add(content)
    return found


def other_values(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one line per value that both have and that differs, without the machine's load."""
    return [
        f"differs: {name} was {recorded[name]}, now {now[name]}"
        for name in recorded
        if name in now and name != "load_average" and recorded[name] != now[name]
    ]


# --- Figures ------------------------------------------------------------------------------------------------


def compare(recorded: Record, now: Record) -> list[Figure]:
    """Compare every metric of every row, learning curves, and language models' losses, of two records."""
    rows = {row.name: row for row in now.rows}
    figures = []
    for row in recorded.rows:
        again = rows.get(row.name)
        test, valid = (again.metrics, again.valid_metrics) if again else ({}, {})
        for metric, values in row.metrics.items():
            figures.append(_metric(f"{row.name}: {metric}", metric, values, test.get(metric)))
        for metric, values in row.valid_metrics.items():
            name = f"{row.name}: {metric} (validation)"
            figures.append(_metric(name, metric, values, valid.get(metric)))
    points = {name: values for name, _, values in _points(now)}
    figures += [_metric(name, metric, values, points.get(name)) for name, metric, values in _points(recorded)]
    models = {_model_name(model): model for model in now.language_models}
    figures += [_loss(model, models.get(_model_name(model))) for model in recorded.language_models]
    return figures


def _points(record: Record) -> Iterator[tuple[str, str, MetricValues]]:
    """Yield every point of the learning curves: a description as key, and its metric."""
    from ulmfit.evaluation.record import MetricValues

    for curve in record.curves:
        for line in curve.lines:
            for place, point in zip(curve.places, line.points, strict=True):
                name = f"{line.name}: {curve.metric} at {curve.axis} {place:g}"
                yield name, curve.metric, MetricValues.of(point.values)


def _metric(name: str, metric: str, recorded: MetricValues, now: MetricValues | None) -> Figure:
    interval = recorded.interval
    if recorded.sd is not None:
        low, high = recorded.mean - SPREADS * recorded.sd, recorded.mean + SPREADS * recorded.sd
        spread = shown_number(metric, SPREADS * recorded.sd)
        measure = f"± {spread} ({SPREADS} standard deviations over the seeds)"
    elif interval is not None:
        low, high = interval
        ends = " to ".join(shown_number(metric, end) for end in interval)
        measure = f"{ends} (recorded interval)"
    else:
        low = high = recorded.mean
        measure = f"equal within {EQUAL:g}"
    if now is None:
        return Figure(name, recorded.mean, None, "outside", "missing")
    if now.values == recorded.values:
        return Figure(name, recorded.mean, now.mean, "same", measure)
    inside = low - EQUAL <= now.mean <= high + EQUAL
    return Figure(name, recorded.mean, now.mean, "inside" if inside else "outside", measure)


def _model_name(model: LanguageModelResult) -> str:
    return f"language model {model.name}, {model.direction}, {model.split}: loss"


def _loss(recorded: LanguageModelResult, now: LanguageModelResult | None) -> Figure:
    name = _model_name(recorded)
    if now is None:
        return Figure(name, recorded.loss, None, "outside", "missing")
    measure = f"± {LOSS_TOLERANCE:g} nats per token"
    same_texts = (now.documents, now.tokens) == (recorded.documents, recorded.tokens)
    if not same_texts:
        return Figure(name, recorded.loss, now.loss, "outside", "other documents or tokens were scored")
    if now.loss == recorded.loss:
        return Figure(name, recorded.loss, now.loss, "same", measure)
    inside = abs(now.loss - recorded.loss) <= LOSS_TOLERANCE
    return Figure(name, recorded.loss, now.loss, "inside" if inside else "outside", measure)


def table(figures: Sequence[Figure]) -> list[str]:
    """Return the figures as aligned lines: name, recorded, now, verdict, allowed range."""
    rows = [("", "recorded", "now", "verdict", "allowed")]
    for figure in figures:
        now = "-" if figure.now is None else f"{figure.now:.6f}"
        rows.append((printable(figure.name), f"{figure.recorded:.6f}", now, figure.verdict, figure.measure))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]]) for row in rows
    ]


def verdict_of(figures: Sequence[Figure]) -> str:
    """Return the verdict on one line."""
    counts = Counter(figure.verdict for figure in figures)
    outside = [figure.name for figure in figures if figure.verdict == "outside"]
    parts = f"{counts['same']} with the same bits, {counts['inside']} inside the recorded spread"
    if not outside:
        return f"repeated: of {len(figures)} figures {parts}, none outside"
    more = f" and {len(outside) - 3} more" if len(outside) > 3 else ""
    return (
        f"not repeated: of {len(figures)} figures {parts}, {len(outside)} outside: "
        f"{', '.join(outside[:3])}{more}"
    )
