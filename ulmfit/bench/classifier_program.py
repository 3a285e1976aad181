"""What the processes of `ulmfit bench classifier` run; arguments: FOLDER JOB, the job as JSON.

FOLDER has the files of `make`: the weights that both libraries begin with, and the probabilities that fastai
computes from them in fp32 for some documents. The documents are made up from a seed. The last line of the
output is a JSON object; loading of libraries, the making of model and documents, and the first batches are
not timed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from ulmfit.bench.classifier_stock import (
    LONGEST,
    computed_tokens,
    load_our_weights,
    stock_learner,
    stock_loader,
    stock_model,
)
from ulmfit.bench.job import Job, Sizes
from ulmfit.bench.made_tokens import BOS_ID, FIRST_WORD
from ulmfit.bench.profile import mark_parts
from ulmfit.bench.program import ADAM_EPSILON, Figures, Training, Watch, stock_precision, watch_batches
from ulmfit.classifier.inference import predict_probabilities
from ulmfit.classifier.loader import DocumentLoader
from ulmfit.classifier.model import TextClassifier, chunks_of, layer_groups
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.compute import PLAIN, choose_compute
from ulmfit.language_model.encoder import Encoder
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work
from ulmfit.training.learner import train
from ulmfit.training.settings import Phase
from ulmfit.training.weights import load_weights, own_tensors, read_weights, write_tensors

LABELS = 4
SETTINGS = ClassifierSettings(phases=(Phase(learning_rate=1e-2),))
"""Dropouts and schedule are fastai's own for classifiers, which are our defaults as well."""
COMPARED = 32
"""Documents whose probabilities are compared."""
SPREAD = 0.6
"""Standard deviation of the logarithm of the documents' lengths."""
SHORTEST = 3
LOGIT_SPREAD = 1.5
LIVELY = 10
"""Factor on randomly initialized embeddings; without it documents hardly differ."""
WEIGHTS, REFERENCE = "weights.safetensors", "reference.npy"
MADE, CHECKED, WARMING = 0, 1, 2
"""Seeds of the documents: measured ones, those whose probabilities are compared, those that come first."""


def made_documents(sizes: Sizes, count: int, seed: int) -> list[numpy.ndarray]:
    """Return token arrays of log-normal lengths and common words, none longer than fastai pools.

    The compared ones are equally long: in a batch of different lengths fastai's pooling takes padding for the
    last token of some documents, and their probabilities depend on the batch.
    """
    random = numpy.random.default_rng([seed, count])
    spread = 0.0 if seed == CHECKED else SPREAD
    lengths = random.lognormal(numpy.log(sizes.tokens), spread, count).round().astype(int)
    lengths = lengths.clip(SHORTEST, LONGEST * sizes.bptt)
    words = random.zipf(1.2, int(lengths.sum())) % (sizes.vocabulary_size - FIRST_WORD) + FIRST_WORD
    words[numpy.cumsum(lengths) - lengths] = BOS_ID
    return numpy.split(words.astype(numpy.uint16), numpy.cumsum(lengths)[:-1])


def made_labels(count: int) -> list[int]:
    """Return `count` labels, each about equally often."""
    return [number % LABELS for number in range(count)]


def difference(probabilities: Any, folder: Path) -> Figures:
    """Return how far probabilities (documents, labels) are from fastai's in fp32, and how much those vary."""
    reference = numpy.load(folder / REFERENCE, allow_pickle=False)
    largest = float(numpy.abs(numpy.asarray(probabilities) - reference).max())
    return {"probability_difference": largest, "probability_spread": float(reference.std(axis=0).mean())}


# --- Ours ---------------------------------------------------------------------------------------------------


def our_model(job: Job, folder: Path) -> TextClassifier:
    """Return our classifier with the weights in `folder`, on its device and in its precision."""
    model = _new_model(job.sizes)
    load_weights(model, read_weights(folder / WEIGHTS), WEIGHTS)
    device = torch.device(job.device)
    model.encoder.module.compute = choose_compute(job.precision, "auto", device, _tell)
    return model.to(device)


def run_ours(job: Job, folder: Path) -> Figures:
    """Predict or train as a stage of the project does."""
    model, watch = our_model(job, folder), Watch(job)
    compared = predict_probabilities(model, made_documents(job.sizes, COMPARED, CHECKED), job.batch_size)
    warming = made_documents(job.sizes, job.warm_up * job.batch_size, WARMING)
    documents = made_documents(job.sizes, job.documents, MADE)
    figures = difference(compared, folder)
    if job.profile:
        mark_parts(model)
    if job.work == "inference":
        figures["padding_share"] = _padding_share(job, documents)
        predict_probabilities(model, warming, job.batch_size)
        watch.start()
        predict_probabilities(model, documents, job.batch_size)
        watch.stop()
        return {**watch.figures, **figures}
    settings = _settings(job.sizes).changed(precision=job.precision, device=job.device)
    loss = torch.nn.CrossEntropyLoss()

    def fit(loader: DocumentLoader, name: str) -> float:
        place = Path(name)
        place.mkdir()  # A folder of its own, without a checkpoint of the first batches.
        work = Work(Runner(place.absolute()), Training(), place)
        valid = DocumentLoader(warming, made_labels(len(warming)), job.batch_size, shuffled=False)
        history = train(model, loader, valid, loss, layer_groups, settings, work)
        return float(history.epochs[-1]["valid_loss"])

    fit(DocumentLoader(warming, made_labels(len(warming)), job.batch_size), "warming")
    loader = DocumentLoader(documents, made_labels(len(documents)), job.batch_size)
    watch_batches(loader, watch)
    figures["padding_share"] = loader.padding_share(job.sizes.bptt)
    figures["valid_loss"] = fit(loader, "measured")
    return {**watch.figures, **figures}


def _padding_share(job: Job, documents: Sequence[numpy.ndarray]) -> float:
    """Return the share of padding in the tokens that prediction computes."""
    loader = DocumentLoader(documents, made_labels(len(documents)), job.batch_size, shuffled=False)
    computed = sum(
        (end - begin) * rows
        for chosen in loader.order(0)
        for begin, end, rows in chunks_of(
            loader.lengths[chosen].tolist(), job.sizes.bptt, fine=job.device == "cpu"
        )
    )
    return 1 - loader.tokens_read / computed


def _new_model(sizes: Sizes) -> TextClassifier:
    encoder = Encoder(sizes.vocabulary_size, sizes.architecture, SETTINGS.dropouts)
    return TextClassifier(encoder, LABELS, _settings(sizes))


def _settings(sizes: Sizes) -> ClassifierSettings:
    return SETTINGS.changed(bptt=sizes.bptt, batch_size=sizes.batch_size)


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


# --- Stock --------------------------------------------------------------------------------------------------


def run_stock(job: Job, folder: Path) -> Figures:
    """Predict or train with fastai's text learner, loader, callbacks and optimizer, without progress bar."""
    import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
    from fastai.callback.core import Callback
    from fastai.losses import CrossEntropyLossFlat
    from fastai.optimizer import Adam

    device, sizes, phase = torch.device(job.device), job.sizes, SETTINGS.phases[0]
    watch = Watch(job)

    class Watching(Callback):
        run_valid = False
        measured = False

        def before_train(self) -> None:
            if self.measured:
                watch.start()

        def after_train(self) -> None:
            if self.measured:
                watch.stop()

    def loader(documents: Sequence[numpy.ndarray], *, shuffled: bool) -> Any:
        labels = made_labels(len(documents))
        return stock_loader(documents, labels, sizes, job.batch_size, device, shuffled=shuffled)

    documents = made_documents(sizes, job.documents, MADE)
    warming = made_documents(sizes, job.warm_up * job.batch_size, WARMING)
    training = job.work == "training"
    measured = loader(documents, shuffled=training)
    model = stock_model(sizes, LABELS, _settings(sizes))
    load_our_weights(model, read_weights(folder / WEIGHTS))
    watching = Watching()
    learner = stock_learner(
        [loader(warming, shuffled=training), loader(warming, shuffled=False)],
        model.to(device),
        sizes,
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(Adam, eps=ADAM_EPSILON),
        wd=SETTINGS.weight_decay,
        cbs=[watching],
    )
    stock_precision(learner, job.precision, job.device)

    def predicted(of: Any) -> Tensor:
        with learner.no_bar():
            return learner.get_preds(dl=of)[0]

    figures = difference(predicted(loader(made_documents(sizes, COMPARED, CHECKED), shuffled=False)), folder)
    computed = sum(computed_tokens(ids.cpu(), sizes.bptt) for ids, _ in measured)
    figures["padding_share"] = 1 - sum(map(len, documents)) / computed
    if not training:
        predicted(learner.dls.valid)
        watch.start()
        predicted(measured)
        watch.stop()
        return {**watch.figures, **figures}
    with learner.no_bar(), learner.no_logging():
        for last in (False, True):
            if last:
                watching.measured, learner.dls.loaders[0] = True, measured
            learner.fit_one_cycle(1, _rates(phase, sizes), pct_start=phase.warm_up, moms=phase.momentum)
    return {**watch.figures, **figures, "valid_loss": float(learner.recorder.values[-1][1])}


def _rates(phase: Phase, sizes: Sizes) -> slice:
    """Return the lowest and the highest layer group's rate, as fastai takes them."""
    groups = sizes.architecture.layers + 2
    return slice(phase.learning_rate / phase.discriminative ** (groups - 1), phase.learning_rate)


# --- Both ---------------------------------------------------------------------------------------------------


def make(sizes: Sizes, folder: Path) -> None:
    """Write the weights that both begin with, and fastai's probabilities with them.

    Batch norm and the last layer are set so that probabilities vary from document to document, as those of a
    trained classifier do.
    """
    torch.manual_seed(0)
    model = _new_model(sizes)
    model.encoder.module.compute = PLAIN
    documents = sorted(made_documents(sizes, COMPARED, CHECKED), key=len, reverse=True)
    ids, lengths, _ = next(DocumentLoader(documents, [0] * COMPARED, COMPARED, shuffled=False).batches(0))
    model.eval()
    with torch.no_grad():
        model.encoder.module.encoder.weight.mul_(LIVELY)
        pooled = model.encoder(ids, lengths)
        first, last = model.head.layers[0], model.head.layers[-1]
        assert isinstance(first, torch.nn.BatchNorm1d)
        assert isinstance(last, torch.nn.Linear)
        assert first.running_mean is not None
        assert first.running_var is not None
        first.running_mean.copy_(pooled.mean(0))
        first.running_var.copy_(pooled.var(0))
        for layer in model.head.layers:
            if isinstance(layer, torch.nn.Linear):
                layer.bias.zero_()
        last.weight.mul_(LOGIT_SPREAD / model.head(pooled).std())
    write_tensors(own_tensors(model), folder / WEIGHTS)
    numpy.save(folder / REFERENCE, _stock_probabilities(sizes, folder))


def _stock_probabilities(sizes: Sizes, folder: Path) -> numpy.ndarray:
    """Return fastai's probabilities of the compared documents, in fp32 on the CPU."""
    model = stock_model(sizes, LABELS, _settings(sizes))
    load_our_weights(model, read_weights(folder / WEIGHTS))
    model.eval()
    with torch.no_grad():
        documents = numpy.stack(made_documents(sizes, COMPARED, CHECKED)).astype(numpy.int64)
        return model(torch.from_numpy(documents))[0].softmax(1).numpy()


def main(folder: Path, job: Job) -> None:
    """Do the work and print what it measured."""
    run: Callable[[Job, Path], Figures] = run_ours if job.who == "ours" else run_stock
    print(json.dumps(run(job, folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Job.from_json(sys.argv[2]))
