"""What the processes of `ulmfit bench lm` run; arguments: FOLDER JOB, the job as JSON.

FOLDER has the tokens of the splits `train` and `valid`. Both libraries begin with the same weights, which
this project draws, and meet the same batches. The last line of the output is a JSON object; loading of
libraries, the making of model and loader, and the first steps are not timed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ulmfit.bench.lm_job import Job, Sizes
from ulmfit.bench.lm_profile import LOADER, MarkedLoss, Profile, kind_in_a_stream, mark_parts, part
from ulmfit.language_model.engines.cuda_graph import GraphedStep
from ulmfit.language_model.loader import StreamLoader
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel, layer_groups
from ulmfit.language_model.settings import Dropouts, LanguageModelSettings
from ulmfit.pipeline.runner import Runner
from ulmfit.pipeline.stage import Stage, Work
from ulmfit.tokens.arrays import TokenArray
from ulmfit.training.learner import train
from ulmfit.training.memory import PeakMemory
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
ADAM_EPSILON = 1e-8
"""What our optimizer has."""
MATRIX_SIZE = 2048
PEAK_ROUNDS = 7
MEBIBYTE = 1 << 20
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Figures = dict[str, Any]


class Clock:
    """Takes the seconds of a job's steps, and its memory until then, from how many steps are done."""

    def __init__(self, job: Job) -> None:
        device = torch.device(job.device)
        self.job, self.memory = job, PeakMemory(device)
        self.profile = (
            Profile(partial(kind_in_a_stream, job.sizes), job.steps, device) if job.profile else None
        )
        self.figures: Figures = {}
        self._started = 0.0

    def tick(self, done: int) -> None:
        """Take note that `done` steps are done."""
        if done == self.job.warm_up:
            self._wait()
            if self.profile:
                self.profile.start()
            self._started = time.perf_counter()
        elif done == self.job.warm_up + self.job.steps:
            self._wait()
            seconds = time.perf_counter() - self._started
            tokens = self.job.steps * self.job.sizes.tokens_of_a_step
            self.figures = {"seconds": seconds, "amount": tokens, **self._peaks()}
            if self.profile:
                self.figures["profile"] = self.profile.stop(seconds)

    def _wait(self) -> None:
        if self.job.device == "cuda":
            torch.cuda.synchronize()

    def _peaks(self) -> Figures:
        names = {"peak_memory_bytes": "peak_mebibytes", "peak_gpu_memory_bytes": "gpu_peak_mebibytes"}
        return {names[name]: value / MEBIBYTE for name, value in self.memory.measures().items()}


def new_model(sizes: Sizes) -> LanguageModel:
    """Return a model with the weights that both libraries begin with."""
    torch.manual_seed(SEED)
    return LanguageModel(sizes.vocabulary_size, sizes.architecture, SETTINGS.dropouts)


# --- Ours ---------------------------------------------------------------------------------------------------


class Training(Stage):
    """Whose log, progress and scratch folder the training uses."""

    stage_name: ClassVar[str] = "lm"


class ClockedLoader(StreamLoader):
    """Our loader, which tells the clock how many steps are done when the next batch is asked for."""

    def __init__(self, *arguments: Any, tick: Callable[[int], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.tick = tick

    def batches(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the same batches."""
        batches = super().batches(epoch, first)
        for done in range(first, len(self)):
            self.tick(done)
            with part(LOADER):
                batch = next(batches)
            yield batch
        self.tick(len(self))


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
    clock = Clock(job)
    train_tokens, valid_tokens = (TokenArray.open(folder, split).tokens for split in ("train", "valid"))
    sizes = (job.sizes.batch_size, job.sizes.bptt)
    loader = ClockedLoader(train_tokens, *sizes, tick=clock.tick, shifted=False, device=device)
    valid_loader = StreamLoader(valid_tokens, *sizes, shifted=False, device=device)
    first_loss = _first_loss(model, fused, *next(valid_loader.batches(0)))
    replayed = None
    if job.graphs and device.type == "cuda" and not job.profile:
        replayed = GraphedStep(model, fused, work.log)
    history = train(
        model, loader, valid_loader, loss, layer_groups, settings, work, fused=fused, replayed=replayed
    )
    return {**clock.figures, "first_loss": first_loss, "valid_loss": history.epochs[-1]["valid_loss"]}


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
    clock = Clock(job)

    class Ticking(Callback):
        def after_batch(self) -> None:
            if self.training:
                clock.tick(self.iter + 1)

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
        # Its own default is 1e-5, against which rare words' gradients vanish: the losses would not compare.
        opt_func=partial(Adam, eps=ADAM_EPSILON),
        wd=SETTINGS.weight_decay,
        cbs=[GradientClip(SETTINGS.gradient_clip), Ticking()],
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
    # As `train` does for ours: the peak of training, without the first loss.
    clock.memory = PeakMemory(device)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(1, phase.learning_rate, pct_start=phase.warm_up, moms=phase.momentum)
    return {**clock.figures, "first_loss": first_loss, "valid_loss": float(learner.recorder.values[-1][1])}


def stock_precision(learner: Any, precision: str, device: str) -> torch.autocast:
    """Give fastai's learner a precision; return what computes in it outside of the learner.

    fastai's mixed precision names the device `cuda`, which does nothing on a CPU; there it is told `cpu`.
    """
    from fastai.callback.fp16 import MixedPrecision

    class OnThisDevice(MixedPrecision):
        def before_fit(self) -> None:
            super().before_fit()
            if device == "cpu":
                self.autocast = torch.autocast("cpu", TYPES[precision])

    if precision != "fp32":
        learner.add_cb(OnThisDevice(precision))
    return torch.autocast(device, TYPES[precision], enabled=precision != "fp32")


# --- Both ---------------------------------------------------------------------------------------------------


def matrix_peak(job: Job) -> float:
    """Return the operations a second of a product of two 2048 x 2048 matrices in the job's precision."""
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
