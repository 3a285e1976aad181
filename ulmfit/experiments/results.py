"""From finished stages to a record, a table and a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit import __version__
from ulmfit.corpus.card import read_corpus_card, read_samples
from ulmfit.corpus.checks.summary import read_data_checks
from ulmfit.corpus.data_checks import CleanedDataset
from ulmfit.corpus.filters import read_leaks
from ulmfit.corpus.stages import DumpStage
from ulmfit.datasets.sample import SAMPLE, SampledDataset
from ulmfit.datasets.stages import DatasetStage
from ulmfit.experiments.explain import MOST_ERRORS, gather_errors
from ulmfit.experiments.plan import Experiment, Trained
from ulmfit.experiments.recipe import Recipe
from ulmfit.experiments.recipe_settings import RecipeSettings
from ulmfit.experiments.run_folder import RECORD as RECORD
from ulmfit.experiments.run_folder import bundle_name, command_of
from ulmfit.experiments.scoring import scored_curves, scored_rows
from ulmfit.experiments.trial import trial_label
from ulmfit.language_model.bundled import described
from ulmfit.language_model.poleval import POLEVAL
from ulmfit.language_model.stages import FineTune, Pretrain
from ulmfit.pipeline import provenance
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, write_json, write_text
from ulmfit.pipeline.manifest import Manifest, stages_of_outputs
from ulmfit.pipeline.runner import Runner, add_numbered
from ulmfit.pipeline.stage import Stage
from ulmfit.tokens.card import read_pieces, read_tokenizer_card
from ulmfit.tokens.stages import TokenizerStage
from ulmfit.training.openmp import THREADS_VARIABLE

if TYPE_CHECKING:
    from ulmfit.evaluation.grammar_card import GrammarSummary
    from ulmfit.evaluation.record import Record, StageTime
    from ulmfit.language_model.figures import LanguageModelResult, PolEvalResult
    from ulmfit.report.section import History

REPORT, TABLE = "report.html", "report.md"
FINGERPRINT = "made-from.json"
STEP_TITLES = {"pretrain": "pretraining", "finetune": "fine-tuning"}
"""What a page calls a training, where it is not the name of the stage."""


def write_results(
    experiment: Experiment, runner: Runner, folder: Path, most_errors: int = MOST_ERRORS
) -> Record:
    """Write `record.json`, `report.md` and `report.html` from finished stages; return the record."""
    from ulmfit.evaluation.record import write_record
    from ulmfit.report.markdown import markdown_table
    from ulmfit.report.report import render_html

    record = make_record(experiment, runner)
    write_text(folder / TABLE, markdown_table(record))
    samples = read_samples(runner.verified(experiment.corpus_card))
    pieces = read_pieces(runner.verified(experiment.tokenizer_card))
    errors = gather_errors(experiment, runner, most=most_errors)
    page = render_html(
        record, _histories(experiment, runner), samples=[samples], pieces=pieces, errors=errors
    )
    write_text(folder / REPORT, page)
    write_record(folder / RECORD, record)
    write_json(folder / FINGERPRINT, _fingerprint(experiment.recipe, runner, runner.order(*experiment.all())))
    return record


def is_recorded(recipe: RecipeSettings, runner: Runner, stages: list[Stage], folder: Path) -> bool:
    """Return whether record and report in `folder` were made from these stages' results and this recipe."""
    if not all((folder / name).exists() for name in (RECORD, REPORT, TABLE)):
        return False
    try:
        return read_json(folder / FINGERPRINT) == _fingerprint(recipe, runner, stages)
    except (OSError, ValueError):
        return False


def recorded_stages(fingerprint: Path) -> list[tuple[str, str]]:
    """Return name and key of the stages that a record was made from, which is written beside it."""
    try:
        return stages_of_outputs(read_json(fingerprint))
    except ValueError as error:
        raise InputError(
            f"{fingerprint}: expected the stages that a record was made from: run the recipe again, or "
            f"remove the file if its stages may be removed too"
        ) from error


def _fingerprint(recipe: RecipeSettings, runner: Runner, stages: list[Stage]) -> dict[str, Any]:
    outputs = {f"{s.stage_name}/{runner.keys.key(s)}": _manifest(s, runner)["outputs"] for s in stages}
    published = [result.model_dump(mode="json") for result in recipe.published]
    return {"configuration": configuration(recipe), "published": published, "outputs": outputs}


def rewrite(recipe: Recipe, runner: Runner, folder: Path, most_errors: int = MOST_ERRORS) -> Record:
    """Write the results again; InputError when a stage is not finished."""
    experiment = recipe.stages()
    for stage in runner.order(*experiment.all()):
        fault = runner.fault(stage)
        if fault is not None:
            reason = f" ({fault})" if fault else ""
            raise InputError(
                f"{recipe.run_name}: stage {stage.title} is not finished{reason}; run the recipe first, or "
                "give the options that it was run with"
            )
    folder.mkdir(parents=True, exist_ok=True)
    return write_results(experiment, runner, folder, most_errors)


def make_record(experiment: Experiment, runner: Runner) -> Record:
    """Collect what the finished stages of an experiment say."""
    from ulmfit.evaluation.record import Record
    from ulmfit.evaluation.row import compare_rows

    recipe = experiment.recipe
    stages = runner.order(*experiment.all())
    labels = [trial_label(_sampled(recipe.dataset, runner))] if recipe.trial else []
    labels += ["transductive"] if recipe.transductive else []
    labels += _data_labels(recipe.dataset)
    if recipe.poleval_2018:
        labels.append("PolEval-2018: rare words of the corpus are replaced by a mark")
    if recipe.pretrained:
        names = sorted({model.weights.label for model in recipe.pretrained.values()})
        labels.append(f"released weights instead of pretraining: {', '.join(names)}")
    if recipe.language_model is not None:
        made = described(recipe.language_model)
        labels.append(
            f"language model of a bundle instead of pretraining: {bundle_name(recipe.language_model)} "
            f"({made.name}, commit {made.commit or 'unknown'}); test texts were not looked for in its corpus"
        )
    if recipe.settings.note:
        labels.append(recipe.settings.note)
    if recipe.overrides:
        labels.append(f"changed: {', '.join(recipe.overrides)}")
    dataset, rows = _dataset_summary(recipe, runner), scored_rows(experiment, runner)
    times, threads = tuple(_stage_time(stage, runner) for stage in stages), _threads(stages, runner)
    return Record(
        recipe=recipe.name,
        title=recipe.title,
        language=recipe.language,
        preset=recipe.preset_name,
        labels=(*labels, *recipe.notes),
        command=_command(recipe, threads),
        repeat_notes=tuple(_repeat_notes(recipe, times, threads)),
        dataset=dataset,
        rows=tuple(row.result for row in rows),
        comparisons=compare_rows(rows, dataset.metric) if dataset else (),
        published=recipe.published,
        curves=tuple(scored_curves(experiment, runner)),
        language_models=tuple(_language_models(experiment, runner)),
        poleval=tuple(_poleval(experiment, runner)),
        grammar=_grammar(experiment, runner),
        seeds=recipe.seeds,
        stages=times,
        corpora=(
            read_corpus_card(runner.verified(experiment.corpus_card), runner.folder(experiment.corpus)),
        ),
        leaks=read_leaks(runner.verified(experiment.leaks)) if experiment.leaks else None,
        tokenizers=read_tokenizer_card(runner.verified(experiment.tokenizer_card)),
        data_checks=_data_checks(experiment, runner),
        inputs=_inputs(stages, runner),
        configuration=configuration(recipe),
        commit=provenance.commit(),
        versions=provenance.versions(),
        hardware=_hardware(stages, runner),
    )


def _data_labels(dataset: DatasetStage | None) -> list[str]:
    """Return the record labels of a data set and of those that it was made from, the last change first."""
    labels = []
    while dataset is not None:
        labels += [dataset.record_label] if dataset.record_label else []
        dataset = getattr(dataset, "dataset", None)
    return labels


def _sampled(dataset: DatasetStage | None, runner: Runner) -> dict[str, list[int]] | None:
    """Return how many texts of each split a sample has, and how many there are; None without a sample."""
    while dataset is not None and not isinstance(dataset, SampledDataset):
        dataset = getattr(dataset, "dataset", None)
    return read_json(runner.verified(dataset) / SAMPLE) if dataset is not None else None


def _command(recipe: RecipeSettings, threads: list[int]) -> str:
    words = command_of(recipe, recipe.reference)
    return f"{THREADS_VARIABLE}={threads[0]} {words}" if len(threads) == 1 else words


def _threads(stages: list[Stage], runner: Runner) -> list[int]:
    """Return the numbers of threads that models were trained with, those before a resume too."""
    machines = [_manifest(stage, runner).get("machine", {}) for stage in stages]
    machines += [earlier for machine in machines for earlier in machine.get("earlier", ())]
    return sorted({machine["threads"] for machine in machines if "threads" in machine})


def _repeat_notes(recipe: RecipeSettings, stages: tuple[StageTime, ...], threads: list[int]) -> Iterator[str]:
    """Yield what one has to know to repeat the run, beside command and commit."""
    commit = provenance.commit()
    if recipe.file is None:
        yield "the recipe was made by a program and has no file of its own: the command does not find it"
    elif commit and not provenance.is_committed(recipe.file):
        yield f"no commit holds the recipe as it was: the command needs the file {recipe.reference}"
    if not commit:
        yield f"the code was not run from a checkout, so no commit names it; its version is {__version__}"
    elif commit.endswith("+changes"):
        yield "code or recipes had changes that no commit holds"
    if others := sorted({stage.commit or "no commit" for stage in stages} - {commit or "no commit"}):
        count = sum(stage.commit != commit for stage in stages)
        yield f"{count} of {len(stages)} stages were built by other code: {', '.join(others)}"
    if len(threads) > 1:
        numbers = ", ".join(map(str, threads))
        yield f"models were trained with different numbers of threads ({numbers}), which changes last digits"


def configuration(recipe: RecipeSettings) -> dict[str, Any]:
    """Return the whole configuration of a recipe with the chosen preset."""
    return recipe.model_dump(mode="json", serialize_as_any=True, exclude={"presets", "published"}) | {
        "preset": recipe.preset_name,
        "settings": recipe.settings.model_dump(mode="json"),
    }


def _manifest(stage: Stage, runner: Runner) -> Manifest:
    manifest = runner.manifest(stage)
    if manifest is None:
        raise InputError(f"stage {stage.title} is not finished; run the recipe first")
    return manifest


def _stage_time(stage: Stage, runner: Runner):
    from ulmfit.evaluation.record import StageTime

    manifest = _manifest(stage, runner)
    return StageTime(
        name=stage.stage_name,
        key=manifest["key"],
        seconds=manifest["seconds"],
        tokens_per_second=manifest["measures"].get("tokens_per_second"),
        commit=manifest["commit"],
    )


def _inputs(stages: list[Stage], runner: Runner) -> dict[str, str]:
    """Return the SHA-256 of every input file, dumps included, by name; a second one of a name is numbered."""
    inputs: dict[str, str] = {}
    for stage in stages:
        manifest = _manifest(stage, runner)
        found = manifest["inputs"]
        if isinstance(stage, DumpStage):
            files = manifest["files"]
            found |= {name: files[name]["sha256"] for name in files if name.endswith(".bz2")}
        for name, content in found.items():
            add_numbered(inputs, name, content)
    return inputs


def _hardware(stages: list[Stage], runner: Runner) -> dict[str, Any]:
    """Return the machines that the stages were built on, with device and threads of the training ones."""
    manifests = [_manifest(stage, runner) for stage in stages]
    machines = [manifest.get("hardware", {}) for manifest in manifests]
    for manifest in manifests:
        trained = manifest.get("machine", {})
        # The machines before a resume count as well.
        machines += [*trained.get("earlier", ()), trained]
    scalars = (
        {name: value for name, value in machine.items() if not isinstance(value, (list, dict))}
        for machine in machines
    )
    return provenance.together(scalars)


def _dataset_summary(recipe: RecipeSettings, runner: Runner):
    from ulmfit.datasets.task import task_of
    from ulmfit.evaluation.record import DatasetSummary

    if recipe.dataset is None:
        return None
    described = read_json(runner.verified(recipe.dataset) / "dataset.json")
    names = ("name", "source", "licence", "rows", "labels", "metric", "warnings")
    fields = {name: described[name] for name in names}
    return DatasetSummary(**fields, task=task_of(described), positive_label=recipe.dataset.positive_label)


def _data_checks(experiment: Experiment, runner: Runner):
    if experiment.data_checks is None:
        return None
    dataset = experiment.recipe.dataset
    cleaned = runner.verified(dataset) if isinstance(dataset, CleanedDataset) else None
    return read_data_checks(runner.verified(experiment.data_checks), cleaned)


def _language_models(experiment: Experiment, runner: Runner) -> list[LanguageModelResult]:
    """Return the figures of every language model that was trained here, split by split."""
    from ulmfit.language_model.figures import read_results

    return [
        result
        for stage in experiment.language_models()
        for result in read_results(
            language_model_name(stage, experiment.tokenizer),
            stage,
            runner.verified(stage),
            _manifest(stage, runner),
        )
    ]


def language_model_name(stage: Pretrain | FineTune, usual: TokenizerStage) -> str:
    """Return the name in records, with the kind of pieces where the tokenizer is not the `usual` one."""
    tokenizer = stage.tokens.tokenizer
    pieces = () if tokenizer == usual else tokenizer.details[:1]
    if isinstance(stage, FineTune):
        return ", ".join(("fine-tuned", *pieces, f"seed {stage.seed}"))
    return ", ".join(("pretrained", *pieces))


def _grammar(experiment: Experiment, runner: Runner) -> GrammarSummary | None:
    from ulmfit.evaluation.grammar import read_grammar

    return read_grammar(runner.verified(experiment.grammar)) if experiment.grammar else None


def _poleval(experiment: Experiment, runner: Runner) -> list[PolEvalResult]:
    from ulmfit.language_model.figures import PolEvalResult

    return [
        PolEvalResult(name="pretrained", direction=direction, **read_json(runner.verified(stage) / POLEVAL))
        for direction, stage in experiment.poleval.items()
    ]


def _histories(experiment: Experiment, runner: Runner) -> list[History]:
    """Return the histories of pretraining, and of what is trained with the first seed."""
    return [_history(stage, runner) for stage in experiment.trained_once()]


def _history(stage: Trained, runner: Runner) -> History:
    from ulmfit.report.section import History

    settings = stage.settings
    return History(
        ", ".join((STEP_TITLES.get(stage.stage_name, stage.stage_name), *stage.details)),
        read_json(runner.verified(stage) / "history.json"),
        select=settings.select,
        select_metric=getattr(settings, "select_metric", "loss"),
    )
