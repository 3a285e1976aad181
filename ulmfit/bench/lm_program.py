"""What the processes of `ulmfit bench lm` run; arguments: FOLDER JOB, the job as JSON.

FOLDER has the tokens of the splits `train` and `valid`. Both libraries begin with the same weights, which
this project draws, and meet the same batches. The last line of the output is a JSON object; loading of
libraries, the making of model and loader, and the first steps are not timed.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ulmfit.bench.job import Job, Sizes
from ulmfit.bench.profile import MarkedLoss, mark_parts
from ulmfit.bench.program import ADAM_EPSILON, TYPES, Figures, Training, Watch, stock_precision, watch_batches
from ulmfit.language_model.engines.cuda_graph import GraphedStep
from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.settings import Dropouts, LanguageModelSettings
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray
from ulmfit.training.learner import train
from ulmfit.training.settings import Phase

SEED = 0
SETTINGS = LanguageModelSettings(
    # The values of fastai's configuration for language models; they are our defaults as well.
    dropouts=Dropouts(output=0.1, hidden=0.15, input=0.25, embedding=0.02, weight=0.2),
    phases=(Phase(learning_rate=5e-3, discriminative=1),),
    gradient_clip=0.12,
    ar=2.0,
    tar=1.0,
    weight_decay=0.01,
)
MATRIX_SIZE = 2048
PEAK_ROUNDS = 7


def new_model(sizes: Sizes) -> LanguageModel:
    """Return a model with the weights that both libraries begin with."""
    torch.manual_seed(SEED)
    return LanguageModel(sizes.vocabulary_size, sizes.architecture, SETTINGS.dropouts)


# --- Ours ---------------------------------------------------------------------------------------------------


def run_ours(job: Job, folder: Path) -> Figures:
    """Train as a stage of the project does."""
    from ulmfit.language_model.compute import choose_compute

    device = torch.device(job.device)
    settings = SETTINGS.changed(
        precision=job.precision,
        device=job.device,
        batch_size=job.sizes.batch_size,
        bptt=job.sizes.bptt,
        cuda_graphs=job.graphs,
    )
    work = Work(Runner(folder / "runs"), Training(), Path())
    model = new_model(job.sizes).to(device)
    model.set_compute(choose_compute(job.precision, settings.engine, device, work.log))
    loss = LanguageModelLoss()
    fused = (MarkedLoss if job.profile else StreamLoss)(model, loss, settings.ar, settings.tar)
    if job.profile:
        mark_parts(model)
    watch = Watch(job)
    train_tokens, valid_tokens = (TokenArray.open(folder, split).tokens for split in ("train", "valid"))
    sizes = (job.sizes.batch_size, job.sizes.bptt)
    loader = StreamLoader(train_tokens, *sizes, shifted=False, device=device)
    watch_batches(loader, watch, job.warm_up)
    valid_loader = StreamLoader(valid_tokens, *sizes, shifted=False, device=device)
    first_loss = _first_loss(model, fused, *next(valid_loader.batches(0)))
    replayed = None
    if job.graphs and device.type == "cuda" and not job.profile:
        replayed = GraphedStep(model, fused, work.log)
    history = train(
        model, loader, valid_loader, loss, layer_groups, settings, work, fused=fused, replayed=replayed
    )
    return {**watch.figures, "first_loss": first_loss, "valid_loss": history.epochs[-1]["valid_loss"]}


def _first_loss(model: LanguageModel, loss: StreamLoss, ids: Tensor, targets: Tensor) -> float:
    """Return the loss of the first batch of the validation split before any training, without dropout."""
    model.eval()
    model.makes_logits = False
    with torch.no_grad():
        value = float(loss(model(ids), targets))
    model.makes_logits = True
    model.train()
    model.reset()
    return value


# --- Stock --------------------------------------------------------------------------------------------------


def run_stock(job: Job, folder: Path) -> Figures:
    """Train with fastai's language model learner, loader, callbacks and optimizer, without progress bar."""
    import fastai.callback.schedule  # noqa: F401 (gives Learner its fit_one_cycle)
    from fastai.callback.core import Callback
    from fastai.callback.training import GradientClip
    from fastai.data.core import DataLoaders
    from fastai.optimizer import Adam
    from fastai.text.learner import language_model_learner
    from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config

    from ulmfit.bench.loader_program import stock_loader

    device, sizes, phase = torch.device(job.device), job.sizes, SETTINGS.phases[0]
    watch = Watch(job)

    class Watching(Callback):
        run_valid = False

        def after_batch(self) -> None:
            if self.iter + 1 == job.warm_up:
                watch.start()

        def after_train(self) -> None:
            watch.stop()

    loaders = DataLoaders(
        *(
            stock_loader(TokenArray.open(folder, split), sizes.batch_size, sizes.bptt, device, job.workers)
            for split in ("train", "valid")
        ),
        device=device,
    )
    loaders.vocab = [str(number) for number in range(sizes.vocabulary_size)]
    architecture = sizes.architecture
    config = {
        **awd_lstm_lm_config,
        "emb_sz": architecture.embedding_size,
        "n_hid": architecture.hidden_size,
        "n_layers": architecture.layers,
    }
    learner = language_model_learner(
        loaders,
        AWD_LSTM,
        config=config,
        pretrained=False,
        # fastai's default 1e-5 hides the gradients of rare words: losses would not be comparable.
        opt_func=partial(Adam, eps=ADAM_EPSILON),
        wd=SETTINGS.weight_decay,
        cbs=[GradientClip(SETTINGS.gradient_clip), Watching()],
    )
    own_names = learner.model.load_state_dict(new_model(sizes).state_dict(), strict=False)
    if own_names.unexpected_keys:
        raise ValueError(f"fastai's model has no {own_names.unexpected_keys[0]}")
    learner.model.to(device)
    autocast = stock_precision(learner, job.precision, job.device)
    ids, targets = next(iter(loaders.valid))
    learner.model.eval()
    with torch.no_grad(), autocast:
        first_loss = float(learner.loss_func(learner.model(ids)[0].float(), targets))
    learner.model.reset()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1, phase.learning_rate, pct_start=phase.warm_up, moms=phase.momentum)
    return {**watch.figures, "first_loss": first_loss, "valid_loss": float(learner.recorder.values[-1][1])}


# --- Both ---------------------------------------------------------------------------------------------------


def matrix_peak(job: Job) -> float:
    """Return the operations per second of a product of two 2048 x 2048 matrices in the job's precision."""
    left, right = (
        torch.randn(MATRIX_SIZE, MATRIX_SIZE, device=job.device).to(TYPES[job.precision]) for _ in range(2)
    )
    products = 100 if job.device == "cuda" else 3
    best = 0.0
    for _ in range(PEAK_ROUNDS):
        started = time.perf_counter()
        for _ in range(products):
            torch.mm(left, right)
        if job.device == "cuda":
            torch.cuda.synchronize()
        best = max(best, products * 2 * MATRIX_SIZE**3 / (time.perf_counter() - started))
    return best


def main(folder: Path, job: Job) -> None:
    """Do the work and print what it measured."""
    figures = run_ours(job, folder) if job.who == "ours" else run_stock(job, folder)
    print(json.dumps({**figures, "matrix_flop_per_second": matrix_peak(job)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Job.from_json(sys.argv[2]))
