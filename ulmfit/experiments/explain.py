"""From finished stages to an analysis of the main row's errors, some of them explained word by word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ulmfit.datasets.task import check_one_label, has_one_label, task_of
from ulmfit.experiments.plan import Experiment
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.printing import printable
from ulmfit.pipeline.runner import Runner

if TYPE_CHECKING:
    from ulmfit.classifier.folder import LoadedClassifier
    from ulmfit.classifier.occlusion import Explanation
    from ulmfit.classifier.stages import TrainClassifier
    from ulmfit.evaluation.error_analysis import ErrorAnalysis, Mistake
    from ulmfit.experiments.recipe import Recipe

BAR = 20
"""Characters of the longest bar."""
MOST_ERRORS = 20
MOST_EXPLAINED = 6
TOKENS_READ = 400_000
"""Most tokens that all classifiers together read for the explanations of a report: seconds to minutes."""


def gather_errors(
    experiment: Experiment, runner: Runner, *, most: int = MOST_ERRORS, explained: int = MOST_EXPLAINED
) -> ErrorAnalysis | None:
    """Analyse the test split's errors of ULMFiT, all directions and seeds averaged.

    Of the `most` confident errors the first ones are explained, as far as their lengths allow. None without a
    data set, and where texts do not have exactly one label.
    """
    from ulmfit.classifier.predictions import average, read_predictions
    from ulmfit.evaluation.error_analysis import analyse_errors
    from ulmfit.tokens.loading import load_tokenizer

    stages = list(experiment.classifiers.values())
    if not stages:
        return None
    dataset = runner.verified(stages[0].dataset)
    description = read_json(dataset / "dataset.json")
    if not has_one_label(task_of(description)):
        return None
    labels = description["labels"]
    predictions = average(
        [read_predictions(runner.verified(stage) / "predictions-test.parquet", labels) for stage in stages]
    )
    tokenizer = load_tokenizer(runner.verified(experiment.tokenizer))
    texts = read_texts(runner, stages[0], "test")
    chosen = [texts[name] for name in predictions.ids]
    directions = sorted({stage.direction for stage in stages}, reverse=True)
    analysis = analyse_errors(
        f"ULMFiT, {' + '.join(directions)}",
        len(stages),
        predictions,
        chosen,
        [len(ids) - 1 for ids in tokenizer.encode(chosen)],
        read_texts(runner, stages[0], "train").values(),
        most=most,
    )
    if not explained or not analysis.mistakes:
        return analysis
    return analysis.explained(explain_mistakes(load_all(experiment, runner), analysis.mistakes, explained))


def explain_mistakes(
    classifiers: list[LoadedClassifier], mistakes: tuple[Mistake, ...], most: int
) -> dict[str, Explanation]:
    """Explain the first of some mistakes, by id; texts that would cost too much are skipped."""
    from ulmfit.classifier.occlusion import cost

    first = classifiers[0]
    found: dict[str, Explanation] = {}
    left = TOKENS_READ
    for mistake in mistakes:
        price = len(classifiers) * cost(first.tokenizer, mistake.text, first.settings.read_tokens)
        if len(found) == most or not first.tokenizer.form.normal(mistake.text) or price > left:
            continue
        left -= price
        found[mistake.id] = explain_text(classifiers, mistake.text)
    return found


def explain_text(classifiers: list[LoadedClassifier], text: str) -> Explanation:
    """Weigh the words of a text for the label that classifiers with one tokenizer predict together."""
    from ulmfit.classifier.occlusion import explain, mean_of

    first = classifiers[0]
    return explain(
        mean_of(classifiers),
        first.tokenizer,
        text,
        first.labels,
        maximum_tokens=first.settings.read_tokens,
    )


def explain_document(recipe: Recipe, runner: Runner, document: str) -> list[str]:
    """Return lines for a terminal: the weight of each word of a test text for the predicted label.

    Raises InputError when the recipe has no classifiers, when one is not finished, and for an unknown id.
    """
    experiment = recipe.stages()
    stages = list(experiment.classifiers.values())
    if not stages:
        raise InputError(f"{recipe.name} has no data set: there is no classifier to explain")
    if not all(map(runner.is_done, stages)):
        raise InputError(f"{recipe.run_name}: the classifiers are not finished; run the recipe first")
    check_one_label(stages[0].dataset.task, "explaining a prediction")
    texts = read_texts(runner, stages[0], "test")
    if document not in texts:
        example = next(iter(texts))
        raise InputError(f"--document {document}: the test split has no such id; it has {example}, for one")
    return _lines(document, explain_text(load_all(experiment, runner), texts[document]))


def _lines(document: str, explanation: Explanation) -> list[str]:
    from ulmfit.report.sections.errors import points

    largest = max(abs(word.weight) for word in explanation.words)
    lines = [
        f"{document}: {explanation.label} with {100 * explanation.probability:.1f} %. Without a word this "
        f"falls by so many points:"
    ]
    for word in explanation.words:
        bar = round(BAR * abs(word.weight) / largest) if largest else 0
        pieces = " ".join(f"{piece.text} {points(piece.weight)}" for piece in word.pieces)
        shown = f"{points(word.weight):>7}  {('+' if word.weight > 0 else '-') * bar:<{BAR}}  {word.text}"
        lines.append(f"{shown}  ({pieces})" if len(word.pieces) > 1 else shown)
    if explanation.cut:
        lines.append("the classifier reads no further")
    return [printable(line) for line in lines]


def load_all(experiment: Experiment, runner: Runner) -> list[LoadedClassifier]:
    """Load the finished ULMFiT classifiers of an experiment: every direction and seed."""
    from ulmfit.classifier.folder import load_classifier

    tokenizer = runner.verified(experiment.tokenizer)
    return [
        load_classifier(runner.verified(stage), tokenizer, log=lambda line: None)
        for stage in experiment.classifiers.values()
    ]


def read_texts(runner: Runner, stage: TrainClassifier, split: str) -> dict[str, str]:
    """Return the texts of a split of a classifier's data set, by id."""
    import pyarrow.parquet

    path = runner.verified(stage.dataset) / f"{split}.parquet"
    table = pyarrow.parquet.read_table(path, columns=["id", "text"])
    names = map(str, table["id"].to_pylist())
    return dict(zip(names, table["text"].to_pylist(), strict=True))
