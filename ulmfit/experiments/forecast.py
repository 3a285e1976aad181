"""What the stages that are missing will cost: seconds, memory, disk.

Three sources, the best that there is: finished stages that differ only in seed and direction; rates of
finished trainings of the same size, of which the fastest counts, or measured on this machine (`calibration`);
and rates of two cores of a server of 2025. They are for a machine that nobody else uses. A forecast is right
within a factor of two or three, or says that it knows nothing and why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ulmfit.classifier.pseudo_labels import PseudoLabelled
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.card import CorpusCard
from ulmfit.corpus.data_checks import CleanedDataset, DataChecks
from ulmfit.corpus.filters import Deduplicated, LeakCheck
from ulmfit.corpus.stages import CorpusStage, DumpStage, WikipediaCorpus
from ulmfit.datasets.stages import DatasetStage
from ulmfit.evaluation.stages import TfidfBaseline
from ulmfit.evaluation.teaching_stages import SoftLabels
from ulmfit.experiments import calibration
from ulmfit.experiments.sizes import Sizes, unpacked_bytes
from ulmfit.language_model.bundled import BundledModel, described
from ulmfit.language_model.settings import Architecture, LanguageModelSettings
from ulmfit.language_model.stages import FineTune, ImportedModel, Pretrain
from ulmfit.pipeline.estimates import estimated_seconds
from ulmfit.pipeline.load import busy_advice
from ulmfit.pipeline.manifest import MANIFEST, Manifest, read_config, read_manifest
from ulmfit.pipeline.rates import SETTINGS, Rates, this_machine
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage
from ulmfit.tokens.card import TokenizerCard
from ulmfit.tokens.stages import EncodeTokens, TokenizerStage, TrainTokenizer

FLOPS = 3e11
"""Of a training on two cores, in bf16."""
REFERENCE = {calibration.EXTRACT: 28e6, calibration.ENCODE: 40e6}
"""Bytes per second of one core, by which other work on texts is scaled too."""
LEARN_PIECES, LEARN_WORDS = 0.4e6, 8e6
LEAKS, CHECKS, COPIES, READ = 15e6, 0.4e6, 2e6, 7e6
TFIDF = {"word": 0.4e6, "char": 0.1e6}
"""Bytes per second of the stages that work on texts, on the machine of REFERENCE."""
CLASSIFIER, SCORING = 1.2, 3.0
"""Speed of a classifier's training, and of scoring, as factors of a language model's training."""
CARD_SECONDS, GIVEN_SECONDS = 3.0, 5.0
SLOW = 2.0
"""Times slower than measured from which a training is told to be slow."""
BASE_MEMORY, TRAINING_MEMORY, CLASSIFIER_MEMORY = 0.4e9, 1.0e9, 1.6e9
MOST_CALIBRATIONS = 3
"""Sizes of models whose steps are measured; each takes some seconds."""


@dataclass(frozen=True)
class Forecast:
    """What building one stage will cost; None: not known. `basis` says from what, or why it is not known."""

    seconds: float | None
    memory: float | None = BASE_MEMORY
    disk: float | None = None
    basis: str = ""


class Forecasts:
    """Forecasts of missing stages; with `measure`, rates that are not known are measured now."""

    def __init__(
        self, stages: list[Stage], runner: Runner, language: str, rates: Rates, *, measure: bool
    ) -> None:
        self.runner, self.rates, self._measures = runner, rates, measure
        self.sizes = Sizes(runner, language)
        self._alike = estimated_seconds(stages, runner)
        self._finished = finished_rates(runner)
        self._calibrations = 0

    def of(self, stage: Stage) -> Forecast:
        """Return the forecast of a stage that is not finished."""
        found = self._by_size(stage)
        seconds = self._alike.get((stage.stage_name, self.runner.keys.key(stage)))
        if seconds is None:
            return found
        return Forecast(seconds, found.memory, found.disk, "as stages like it took here")

    def _by_size(self, stage: Stage) -> Forecast:
        for kind, forecast in KINDS:
            if isinstance(stage, kind):
                return forecast(self, stage)
        return Forecast(None, None, None, "nothing is known of such stages")

    # -- rates

    def bytes_per_second(self, name: str) -> float:
        """Return a rate of work on texts, measured if that is wanted."""
        if self._measures:
            return self.rates.measure(name, lambda: calibration.text_rate(name))
        return self.rates.get(name) or REFERENCE[name]

    def speed(self) -> float:
        """Return how fast this machine works on texts, as a factor of that of REFERENCE."""
        return self.bytes_per_second(calibration.ENCODE) / REFERENCE[calibration.ENCODE]

    def tokens_per_second(
        self, kind: str, vocabulary: int, architecture: Architecture, settings: LanguageModelSettings
    ) -> tuple[float, str]:
        """Return the speed of training a model of this size, and where it is known from."""
        form = architecture.model_dump_json()
        factor = CLASSIFIER if kind == "classifier" else 1.0
        if found := self._finished.get((kind, form)):
            return max(found), "finished trainings of this size"
        if kind != "pretrain" and (found := self._finished.get(("pretrain", form))):
            return max(found) * factor, "finished pretraining of this size"
        name = rate_name(vocabulary, architecture, settings)
        if self._measures and self._calibrations < MOST_CALIBRATIONS and self.rates.get(name) is None:
            self._calibrations += 1
            self.rates.measure(name, lambda: calibration.training_rate(vocabulary, architecture, settings))
        if (known := self.rates.get(name)) is not None:
            return known * factor, "measured here"
        operations = 6.0 * parameters(architecture, vocabulary)
        return FLOPS / operations * factor, "a guess for two cores"

    # -- stages

    def dump(self, stage: DumpStage) -> Forecast:
        """Return the forecast of a download, or of a generated dump."""
        megabytes = getattr(stage, "megabytes", None)
        if megabytes is not None:
            return Forecast(20.0, BASE_MEMORY, 1e6 * megabytes, f"{megabytes} MB of XML")
        if getattr(stage, "date", None) is None:
            return Forecast(None, None, None, "it is made by a program")
        return Forecast(None, None, None, "the size of a dump is not known before it is downloaded")

    def corpus(self, stage: CorpusStage) -> Forecast:
        """Return the forecast of reading a corpus."""
        size = self.sizes.corpus(stage)
        disk = None if size.bytes is None else 0.42 * size.bytes
        if size.read is None:
            return Forecast(None, None, disk, size.why)
        if isinstance(stage, WikipediaCorpus):
            seconds = size.read / self.bytes_per_second(calibration.EXTRACT)
            seconds *= 10 if stage.engine == "wikiextractor" else 1
        else:
            rate = COPIES if isinstance(stage, Deduplicated) else READ
            seconds = size.read / (rate * self.speed())
        basis = f"{size.documents or 0:,.0f} documents, {(size.bytes or 0) / 1e6:,.1f} MB of text"
        return Forecast(1 + seconds, BASE_MEMORY, disk, basis)

    def dataset(self, stage: DatasetStage) -> Forecast:
        """Return the forecast of reading a data set."""
        rows = self.sizes.dataset(stage)
        if not rows.rows:
            return Forecast(None, None, None, rows.why)
        count = sum(rows.rows.values())
        size = count * rows.bytes_each
        rate = (CHECKS if isinstance(stage, CleanedDataset) else READ) * self.speed()
        return Forecast(1 + size / rate, BASE_MEMORY, size / 2, f"{count:,.0f} texts")

    def predicted(self, stage: SoftLabels | PseudoLabelled) -> Forecast:
        """Return the forecast of a data set whose labels are predicted."""
        base, rows = self.dataset(stage), self.sizes.dataset(stage)
        if base.seconds is None:
            return base
        models = stage.teachers if isinstance(stage, SoftLabels) else stage.classifiers
        size = rows.rows.get("train", 0) * rows.bytes_each
        seconds = base.seconds
        for model in models:
            if isinstance(model, TrainClassifier):
                rate, _ = self._classifier_rate(model)
                seconds += size / self.sizes.bytes_per_token / (SCORING * rate)
            elif isinstance(model, TfidfBaseline):
                seconds += size / (TFIDF[model.analyzer] * self.speed())
        return Forecast(seconds, CLASSIFIER_MEMORY, base.disk, f"{base.basis}, predicted")

    def checks(self, stage: DataChecks) -> Forecast:
        """Return the forecast of comparing all texts of a data set."""
        return self._of_rows(stage.dataset, CHECKS, "train", "valid", "test", "unlabelled")

    def tfidf(self, stage: TfidfBaseline) -> Forecast:
        """Return the forecast of a baseline."""
        return self._of_rows(stage.dataset, TFIDF[stage.analyzer], "train", "valid", "test")

    def _of_rows(self, dataset: DatasetStage, rate: float, *splits: str) -> Forecast:
        size = self.sizes.dataset(dataset).size(*splits)
        if size.bytes is None:
            return Forecast(None, None, None, size.why)
        return Forecast(
            1 + size.bytes / (rate * self.speed()), BASE_MEMORY, 1e5, f"{size.documents or 0:,.0f} texts"
        )

    def leaks(self, stage: LeakCheck) -> Forecast:
        """Return the forecast of looking for test texts in a corpus."""
        return self._of_corpus(stage.corpus, LEAKS)

    def corpus_card(self, stage: CorpusCard) -> Forecast:
        """Return the forecast of measuring a corpus."""
        return self._of_corpus(stage.corpus, 2 * READ, CARD_SECONDS)

    def tokenizer_card(self, stage: TokenizerCard) -> Forecast:
        """Return the forecast of measuring tokenizers."""
        return Forecast(CARD_SECONDS / self.speed(), BASE_MEMORY, 1e4, f"{len(stage.tokenizers)} tokenizers")

    def _of_corpus(self, corpus: CorpusStage, rate: float, more: float = 1.0) -> Forecast:
        size = self.sizes.corpus(corpus)
        if size.bytes is None:
            return Forecast(None, None, None, size.why)
        seconds = (more + size.bytes / rate) / self.speed()
        return Forecast(seconds, BASE_MEMORY, 1e4, f"{size.bytes / 1e6:,.1f} MB of text")

    def tokenizer(self, stage: TrainTokenizer) -> Forecast:
        """Return the forecast of training a vocabulary."""
        size = self.sizes.corpus(stage.corpus)
        if size.bytes is None:
            return Forecast(None, None, None, size.why)
        read = min(size.bytes, stage.sample_bytes)
        rate = LEARN_PIECES if stage.has_subwords else LEARN_WORDS
        memory = BASE_MEMORY + (20 if stage.has_subwords else 4) * read
        return Forecast(1 + read / (rate * self.speed()), memory, 3e5, f"{read / 1e6:,.1f} MB of text")

    def tokens(self, stage: EncodeTokens) -> Forecast:
        """Return the forecast of encoding documents."""
        size = self.sizes.corpus(stage.documents)
        count, why = self.sizes.tokens(stage)
        if size.bytes is None or count is None:
            return Forecast(None, None, None, why or size.why)
        # With the reading of documents and the writing of arrays it is half as fast.
        seconds = 0.5 + 2 * size.bytes / self.bytes_per_second(calibration.ENCODE)
        return Forecast(seconds, BASE_MEMORY, 2 * count, f"{count:,.0f} tokens")

    def language_model(self, stage: Pretrain | FineTune) -> Forecast:
        """Return the forecast of training a language model."""
        architecture, vocabulary = _architecture(stage), _vocabulary(stage.tokens.tokenizer)
        count, why = self.sizes.tokens(stage.tokens)
        if architecture is None:
            return Forecast(None, None, None, "the size of its model is not known before it is read")
        chunk = stage.settings.batch_size * stage.settings.bptt
        memory, disk = self._of_model(architecture, vocabulary, chunk)
        if count is None:
            return Forecast(None, memory + TRAINING_MEMORY, disk, why)
        epochs = sum(phase.epochs for phase in stage.settings.phases)
        rate, source = self.tokens_per_second(stage.stage_name, vocabulary, architecture, stage.settings)
        steps = count / chunk * epochs
        seconds = 3 + 1.03 * count * epochs / (rate * max(stage.processes().total, 1))
        basis = f"{count:,.0f} tokens x {epochs}, {steps:,.0f} steps, {rate:,.0f} tokens/s: {source}"
        return Forecast(seconds, memory + TRAINING_MEMORY, disk, basis)

    def classifier(self, stage: TrainClassifier) -> Forecast:
        """Return the forecast of training a classifier, and of its predictions."""
        vocabulary, settings = _vocabulary(stage.tokenizer), stage.settings
        rows = self.sizes.dataset(stage.dataset)
        bytes_per_token = self.sizes.bytes_per_token
        each = rows.bytes_each / bytes_per_token + 1
        each = min(each, settings.maximum_tokens) if settings.read_tokens else each
        memory, disk = self._of_model(stage.architecture, vocabulary, int(settings.batch_size * each))
        if not rows.rows:
            return Forecast(None, memory + CLASSIFIER_MEMORY, disk, rows.why)
        train = rows.rows.get("train", 0)
        passes = settings.passes(max(1, int(train / settings.batch_size)))
        epochs = passes * sum(phase.epochs for phase in settings.phases)
        rate, source = self._classifier_rate(stage)
        scored = rows.rows.get("valid", 0) * (epochs + 1) + rows.rows.get("test", 0)
        seconds = 4 + each * (train * epochs + scored / SCORING) / rate
        basis = f"{train:,.0f} texts x {epochs}, {rate:,.0f} tokens/s: {source}"
        return Forecast(seconds, memory + CLASSIFIER_MEMORY, disk, basis)

    def _classifier_rate(self, stage: TrainClassifier) -> tuple[float, str]:
        settings = stage.settings
        like = LanguageModelSettings(
            batch_size=settings.batch_size,
            bptt=settings.bptt,
            precision=settings.precision,
            engine=settings.engine,
            device=settings.device,
        )
        return self.tokens_per_second("classifier", _vocabulary(stage.tokenizer), stage.architecture, like)

    def _of_model(self, architecture: Architecture, vocabulary: int, tokens: int) -> tuple[float, float]:
        """Return the bytes of memory of a training beside what every training takes, and of its result."""
        count = parameters(architecture, vocabulary)
        units = 7 * architecture.hidden_size * architecture.layers + 2 * architecture.embedding_size
        # Weights, gradients and Adam's two moments; activations of a chunk with what the gradient needs.
        return 16.0 * count + 6.0 * tokens * units, 4.0 * count

    def given(self, stage: Stage) -> Forecast:
        """Return the forecast of a model or tokenizer that is read, not trained."""
        sizes = [unpacked_bytes(file) for file in stage.input_files()]
        known = None if None in sizes else float(sum(size or 0 for size in sizes))
        return Forecast(GIVEN_SECONDS, BASE_MEMORY + (known or 0), known, "it is read, not trained")


Forecaster = Callable[[Forecasts, Any], Forecast]
KINDS: tuple[tuple[type | tuple[type, ...], Forecaster], ...] = (
    (DumpStage, Forecasts.dump),
    (CorpusStage, Forecasts.corpus),
    ((SoftLabels, PseudoLabelled), Forecasts.predicted),
    (DatasetStage, Forecasts.dataset),
    (DataChecks, Forecasts.checks),
    (LeakCheck, Forecasts.leaks),
    (CorpusCard, Forecasts.corpus_card),
    (TokenizerCard, Forecasts.tokenizer_card),
    (TrainTokenizer, Forecasts.tokenizer),
    (EncodeTokens, Forecasts.tokens),
    ((Pretrain, FineTune), Forecasts.language_model),
    (TrainClassifier, Forecasts.classifier),
    (TfidfBaseline, Forecasts.tfidf),
    ((ImportedModel, BundledModel, TokenizerStage), Forecasts.given),
)
"""Kind of stage -> what forecasts it; the first that fits."""


def parameters(architecture: Architecture, vocabulary: int) -> int:
    """Return the weights of a language model: embedding and decoder share theirs."""
    inner, hidden = architecture.embedding_size, architecture.hidden_size
    count, size = vocabulary * (inner + 1), inner
    for layer in range(architecture.layers):
        units = inner if layer == architecture.layers - 1 else hidden
        if architecture.kind == "qrnn":
            count += 3 * units * (size * (architecture.window if layer == 0 else 1) + 1)
        else:
            count += 4 * units * (size + units + 2)
        size = units
    return count


def _vocabulary(tokenizer: Stage) -> int:
    return getattr(tokenizer, "vocab_size", 15_000)


def _architecture(stage: Stage) -> Architecture | None:
    """Return the size of the model that a training begins with; None where it is not known."""
    if isinstance(stage, Pretrain):
        return stage.settings.architecture
    above = getattr(stage, "pretrained", None)
    if isinstance(above, BundledModel):
        return described(above.bundle).architecture
    return _architecture(above) if isinstance(above, Pretrain) else getattr(above, "architecture", None)


def finished_rates(runner: Runner) -> dict[tuple[str, str], list[float]]:
    """Return tokens per second of finished trainings, by kind of stage and size of model.

    Where any was trained with the threads that a training would have now, the others do not count.
    """
    threads = this_machine()[SETTINGS[0]]
    found: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for path in sorted((runner.runs / "stages").glob(f"*/*/{MANIFEST}")):
        manifest = read_manifest(path.parent)
        rate = _rate_per_process(manifest) if manifest else 0.0
        size = _stored_architecture(runner, path.parent.parent.name, path.parent.name) if rate else None
        if manifest and size:
            try:
                form = Architecture.model_validate(size).model_dump_json()
            except ValidationError:
                continue  # another version's
            alike = str(manifest.get("machine", {}).get("threads")) == threads
            found.setdefault((manifest["stage"], form), []).append((alike, rate))
    best = {name: [rate for alike, rate in some if alike] for name, some in found.items()}
    return {name: best[name] or [rate for _, rate in some] for name, some in found.items()}


def _rate_per_process(manifest: Manifest) -> float:
    """Return the tokens per second of each process of a training; 0: it was none."""
    processes = manifest.get("machine", {}).get("processes", 1)
    return float(manifest["measures"].get("tokens_per_second", 0.0)) / max(processes, 1)


def _stored_architecture(runner: Runner, name: str, key: str) -> dict[str, Any] | None:
    """Return the size of the model in a finished stage's configuration, or in those that it was made from."""
    folder = runner.runs / "stages" / name / key
    config = read_config(folder, None)
    if config is None:
        return None
    own = config.get("architecture") or config.get("settings", {}).get("architecture")
    if isinstance(own, dict):
        return own
    above = config.get("pretrained")
    return _stored_architecture(runner, above["stage"], above["key"]) if isinstance(above, dict) else None


def rate_name(vocabulary: int, architecture: Architecture, settings: LanguageModelSettings) -> str:
    """Return the name under which the speed of training a model of this size is remembered."""
    fields = (settings.resolved().precision, settings.engine, settings.device)
    return json.dumps(["train", vocabulary, architecture.model_dump(mode="json"), *fields])


def slow_advice(stage: Stage, runner: Runner, rates: Rates) -> str:
    """Return a line where a training was half as fast as was measured here, or slower; empty: it was not."""
    if not isinstance(stage, Pretrain | FineTune):
        return ""
    manifest, architecture = runner.manifest(stage), _architecture(stage)
    if manifest is None or architecture is None:
        return ""
    known = rates.get(rate_name(_vocabulary(stage.tokens.tokenizer), architecture, stage.settings))
    rate = _rate_per_process(manifest)
    if known is None or not rate or rate > known / SLOW:
        return ""
    return (
        f"trained at {rate:,.0f} tokens/s; this machine reached {known:,.0f} when it was measured: "
        f"{busy_advice() or 'other programs may have used it'}"
    )


def total(forecasts: Iterable[Forecast]) -> Forecast:
    """Return the sum of seconds and disk, and the largest memory; `basis`: how many of each are not known."""
    found = list(forecasts)
    unknown = sum(one.seconds is None for one in found)
    return Forecast(
        sum(one.seconds or 0 for one in found),
        max((one.memory or 0 for one in found), default=0),
        sum(one.disk or 0 for one in found),
        f"{unknown} of unknown length" if unknown else "",
    )
