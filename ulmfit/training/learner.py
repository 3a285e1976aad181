"""Training with fastai's Learner: phases with their own schedules and frozen layers, resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.schedule import ParamScheduler
from fastcore.basics import noop
from torch import Tensor, nn

from ulmfit.pipeline.progress import say
from ulmfit.pipeline.stage import Work
from ulmfit.training.averaging import RestoreWeights, ValidateAverage, WeightAverage
from ulmfit.training.checkpoint import Checkpoint, CheckpointStore
from ulmfit.training.checkpoint_share import CHECKPOINTS
from ulmfit.training.checkpointing import Checkpointer, differences, machine, newest_checkpoint
from ulmfit.training.distribution import Distribution, choose_device
from ulmfit.training.guard import Guard
from ulmfit.training.history import EarlyStopping, History, KeepBest, ValidationMetric
from ulmfit.training.loop import (
    Loader,
    Loaders,
    Penalty,
    ReplayedStep,
    Resampled,
    ResetState,
    ResumableLearner,
    SequenceLoss,
)
from ulmfit.training.memory import PeakMemory
from ulmfit.training.optimizer import Adam
from ulmfit.training.out_of_memory import names_batch_size
from ulmfit.training.recorder import ProgressDisplay, QuietRecorder
from ulmfit.training.schedules import phase_schedules
from ulmfit.training.settings import Phase, TrainingSettings
from ulmfit.training.weights import load_weights


def make_learner(
    model: nn.Module,
    train_loader: Loader,
    valid_loader: Loader,
    loss_function: Callable[..., Tensor],
    layer_groups: Callable[[Any], Sequence[Sequence[nn.Parameter]]],
    settings: TrainingSettings,
    *,
    callbacks: Sequence[Any] = (),
    metrics: Sequence[Any] = (),
    fused: SequenceLoss | None = None,
    replayed: ReplayedStep | None = None,
    logits: bool = False,
    log: Callable[[str], None] = say,
) -> ResumableLearner:
    """Return a fastai Learner to experiment with: `learn.fit_one_cycle(2, 5e-3)`, `learn.fit`, `learn.opt`.

    It trains as `train` does (optimizer, clipping, accumulation, guard, average of weights), with schedules,
    callbacks and metrics of the caller's; `settings.phases`, checkpoints and early stopping are not used.
    fastai's callbacks work, such as `TensorBoardCallback(folder, trace_model=False, log_preds=False)` and
    `WandbCallback(log_preds=False)`; its progress bar is replaced by one that does not wait for the device.
    `learn.freeze_to(-1)` trains the top layer group alone. With `settings.average_decay` the average of the
    weights is what validations see; `learn.average.weights()` returns it.
    With `logits` every step makes them, for callbacks that read `learn.pred` after the step.
    """
    device = choose_device(settings.device)
    model.to(device)
    loaders = Loaders(train_loader, valid_loader, device)
    learner = _learner(model, loaders, loss_function, layer_groups, settings, fused, log, logits)
    learner.replayed = replayed
    learner.metrics = metrics
    learner.add_cbs([QuietRecorder(), ProgressDisplay(log), *callbacks])
    return learner


def _learner(
    model: nn.Module,
    loaders: Loaders,
    loss_function: Callable[..., Tensor],
    layer_groups: Callable[[Any], Sequence[Sequence[nn.Parameter]]],
    settings: TrainingSettings,
    fused: SequenceLoss | None,
    log: Callable[[str], None],
    logits: bool = False,
) -> ResumableLearner:
    learner = ResumableLearner(
        loaders,
        model,
        guard=Guard(model, settings.gradient_clip, settings.skipped_steps),
        settings=settings,
        fused=fused,
        notice=log,
        logits=logits,
        loss_func=loss_function,
        opt_func=partial(Adam, beta2=settings.beta2, decoupled=settings.weight_decay_kind == "decoupled"),
        splitter=lambda _: layer_groups(model),
        wd=settings.weight_decay,
        cbs=[TrainEvalCallback(), ResetState()],
    )
    if fused is not None:
        learner.add_cb(Penalty(fused.penalty))
    if settings.average_decay:
        learner.average = WeightAverage(model, settings.average_decay)
        validation = ValidateAverage(learner.average)
        learner.add_cbs([validation, RestoreWeights(validation)])
    return learner


def train(
    model: nn.Module,
    train_loader: Loader,
    valid_loader: Loader,
    loss_function: Callable[..., Tensor],
    layer_groups: Callable[[Any], Sequence[Sequence[nn.Parameter]]],
    settings: TrainingSettings,
    work: Work,
    *,
    callbacks: Sequence[Any] = (),
    own_callbacks: Sequence[Callback] = (),
    resampled: Resampled | None = None,
    fused: SequenceLoss | None = None,
    replayed: ReplayedStep | None = None,
    distribution: Distribution | None = None,
    metric: ValidationMetric | None = None,
) -> History:
    """Train `model` in place through all phases, going on from the last checkpoint where there is one.

    `layer_groups` splits the parameters, lowest layer first; they share rates and are frozen together.
    `callbacks` are fastai callbacks of a user's, such as TensorBoard's; with any there is `learn.recorder`.
    `own_callbacks` are this project's, for which no recorder is needed.
    `resampled` lends the loader of each epoch in place of `train_loader`, which then only says how many steps
    are to be expected. `fused` computes the loss without logits, `replayed` whole steps of it in one go.
    `distribution` are the processes that train together, each with loaders of its own.
    `metric` is what selection and early stopping look at in place of the validation loss.
    Returns the history; the model is on its device, with the selected weights.
    """
    distribution = distribution or Distribution(choose_device(settings.device))
    model.to(distribution.device)
    distribution.separate_random_numbers()
    memory = PeakMemory(distribution.device)
    epochs = sum(phase.epochs for phase in settings.phases)
    steps = epochs * len(train_loader)
    store = CheckpointStore(work.scratch() / CHECKPOINTS, work.log)
    resume = newest_checkpoint(store, distribution)
    progress = work.progress(steps, "steps", resume.state["step"] if resume else 0)
    loaders = Loaders(train_loader, valid_loader, distribution.device)
    learner = _learner(model, loaders, loss_function, layer_groups, settings, fused, work.log)
    learner.resampled, learner.replayed = resampled, replayed
    learner.add_cbs(own_callbacks)
    history = History(steps, epochs, lambda target: target.numel(), progress, distribution, metric)
    best = KeepBest(history) if settings.select == "best" else None
    stopping = EarlyStopping(history, settings.early_stopping) if settings.early_stopping else None
    checkpointer = Checkpointer(
        store,
        history,
        [part for part in (learner.guard, learner.average, best, stopping) if part is not None],
        steps=settings.checkpoint_steps,
        minutes=settings.checkpoint_minutes,
        resume=resume,
        distribution=distribution,
        log=work.log,
    )
    own = (history, history.collected, best, stopping, checkpointer)
    learner.add_cbs([callback for callback in own if callback])
    if callbacks:
        learner.logger = noop
        learner.add_cbs([QuietRecorder(), *callbacks])
    if resume:
        _announce(resume, machine(model, distribution.world), work)
    with names_batch_size(settings.batch_size), checkpointer:
        for index, phase in enumerate(settings.phases):
            if resume and index < resume.state["phase"]:
                continue
            history.phase = index
            learner.epochs_before = sum(earlier.epochs for earlier in settings.phases[:index])
            start_epoch = resume.state["epoch"] if resume and index == resume.state["phase"] else 0
            _run_phase(learner, phase, start_epoch, distribution)
            _log_phase(history, index, len(settings.phases), work)
    progress.close()
    _measure(checkpointer, history, memory, work)
    history.notes = _deviations(learner.guard, stopping, work)
    if best is not None and best.best:
        load_weights(model, best.best, "the best epoch")
    elif learner.average is not None:
        load_weights(model, learner.average.weights(), "the average")
    # The history refers to the learner; this frees the optimizer's moments and other copies.
    learner.remove_cbs(list(learner.cbs))
    learner.opt = learner.replayed = None
    # The wrapper holds the group of processes, whose threads must end with it (`leave_group`).
    learner.model = learner.inner
    return history


def _run_phase(learner: ResumableLearner, phase: Phase, start_epoch: int, distribution: Distribution) -> None:
    """Run one phase with a new optimizer, so that frozen layers have no old momentum."""
    for parameter in learner.inner.parameters():
        parameter.grad = None
    learner.create_opt()
    groups = len(learner.opt.param_lists)
    trainable = min(phase.trainable_groups or groups, groups)
    learner.opt.freeze_to(groups - trainable)
    learner.model = distribution.wrap(learner.inner)
    schedules = phase_schedules(phase, groups)
    learner.fit(phase.epochs, cbs=[ParamScheduler(schedules)], start_epoch=start_epoch)


def _announce(resume: Checkpoint, here: dict[str, Any], work: Work) -> None:
    state = resume.state
    work.log(f"going on from phase {state['phase'] + 1}, epoch {state['epoch'] + 1}, batch {state['batch']}")
    if here["processes"] > 2:
        work.log(
            "after a resume torch sums the gradients of more than two processes in another order: "
            "equal to rounding, not to the bit"
        )
    if changes := differences(state["machines"][-1], here):
        work.warn(f"training goes on with {changes}: it will not equal an undisturbed run to the bit")


def _log_phase(history: History, index: int, phases: int, work: Work) -> None:
    last = history.epochs[-1]
    names = {"training loss": "train_loss", "validation loss": "valid_loss"}
    if history.metric is not None:
        names[f"validation {history.metric.name}"] = history.metric.name
    values = {name: "-" if last[key] is None else f"{last[key]:.4f}" for name, key in names.items()}
    shown = ", ".join(f"{name} {value}" for name, value in values.items())
    work.log(f"phase {index + 1} of {phases}: {shown}")


def _measure(checkpointer: Checkpointer, history: History, memory: PeakMemory, work: Work) -> None:
    seconds = checkpointer.seconds()
    work.measure("training_seconds", seconds)
    work.measure("tokens_per_second", history.tokens / max(seconds, 1e-9))
    for name, value in memory.measures().items():
        work.measure(name, value)
    *earlier, current = checkpointer.machines()
    work.record_machine({**current, **({"earlier": earlier} if earlier else {})})


def _deviations(guard: Guard, stopping: EarlyStopping | None, work: Work) -> dict[str, Any]:
    """Warn where training differed from its settings: updates left out, phases ended early."""
    notes: dict[str, Any] = {}
    if guard.bad_steps:
        notes["skipped_steps"] = guard.bad_steps
        work.measure("skipped_updates", len(guard.bad_steps))
        work.warn(f"{len(guard.bad_steps)} updates with infinite or undefined gradients were left out")
    if stopping is not None and stopping.ended:
        notes["ended_early"] = stopping.ended
    for ended in notes.get("ended_early", ()):
        work.log(
            f"phase {ended['phase'] + 1} ended after {ended['epochs']} of {ended['of_epochs']} epochs, "
            f"before the end of its schedule"
        )
    return notes
