"""The fastai callback that saves checkpoints and takes them up again in the middle of an epoch."""

from __future__ import annotations

import copy
import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import torch
from fastai.callback.core import Callback
from torch import Tensor, nn

from ulmfit.pipeline.errors import StageFailed
from ulmfit.pipeline.progress import say
from ulmfit.training.checkpoint import BackgroundWriter, Checkpoint, CheckpointStore
from ulmfit.training.checkpoint_share import TOTAL_STEPS
from ulmfit.training.distribution import SINGLE, Distribution
from ulmfit.training.history import History
from ulmfit.training.snapshot import (
    HostCopies,
    Tensors,
    devices_of,
    named,
    optimizer_state,
    part,
    pending_gradients,
    random_states,
    restore_gradients,
    restore_optimizer,
    restore_random_states,
)
from ulmfit.training.stopping import StopRequest
from ulmfit.training.weights import load_weights, own_tensors

AGREED_EVERY_STEPS = 10
"""Steps between two times that several processes ask each other whether to save; each waits for the
slowest."""

WORTH_SAVING_SECONDS = 10.0
"""Seconds. At the end of training a checkpoint is written unless the last one is younger than this."""


OWN_PARTS = "parts"
"""Name among a rank's own tensors: the JSON content of its parts' states, as bytes."""


@runtime_checkable
class HasState(Protocol):
    """A part of training whose state is JSON content."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""


@runtime_checkable
class HasTensors(Protocol):
    """A part of training whose state is tensors."""

    def tensors(self) -> Tensors:
        """Return what a checkpoint keeps."""

    def restore_tensors(self, tensors: Tensors) -> None:
        """Take up what a checkpoint kept; the tensors are on the CPU."""


class Checkpointer(Callback):
    """Saves the whole state of training and takes it up again, inside an epoch, to the bit.

    A checkpoint is due every so many `steps` and `minutes`, and when SIGTERM or SIGINT asks the process to
    stop: the running step is finished, its checkpoint written, and the signal handed to the earlier handler.
    The state is copied between two steps and written in a thread. After the last step of an epoch it is
    always copied. If training is stopped before the next epoch begins, that copy is written, and only the
    validation has to be repeated.

    `parts` are further objects with state (HasState, HasTensors, or both), at most one of each class. Of
    several processes rank 0 writes; hidden states, random states and gradients that wait are every rank's
    own. Use it as a context manager around all of training: at the end of the context everything is written.
    """

    order = 95

    def __init__(
        self,
        store: CheckpointStore,
        history: History,
        parts: Sequence[HasState | HasTensors] = (),
        *,
        steps: int,
        minutes: float,
        resume: Checkpoint | None,
        distribution: Distribution = SINGLE,
        log: Callable[[str], None] = say,
    ) -> None:
        self.store, self.steps, self.minutes, self.resume = store, steps, minutes, resume
        self.recorder = history
        self.parts = {type(one).__name__: one for one in (history, *parts)}
        self.distribution, self.log = distribution, log
        self.step = 0
        self._machines_before: list[dict[str, Any]] = resume.state["machines"] if resume else []
        self.stop = StopRequest()
        self._writer = BackgroundWriter()
        self._copies = HostCopies()
        self._state: dict[str, Any] = {}
        self._is_unwritten = False
        self._saved = self._started = time.monotonic()
        self._seconds_before = resume.state["seconds"] if resume else 0.0

    def seconds(self) -> float:
        """Return the seconds of training until now, those before a resume included."""
        return self._seconds_before + time.monotonic() - self._started

    def machines(self) -> list[dict[str, Any]]:
        """Return the machines that this training ran on until now, in order.

        With one entry, a repeated run is equal to the bit.
        """
        before, now = self._machines_before, machine(self.learn.inner, self.distribution.world)
        return before if before and before[-1] == now else [*before, now]

    # -- around training

    def __enter__(self) -> Self:
        """Let SIGTERM and SIGINT wait for the end of a step."""
        self.stop.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is worth writing, wait for it, and hand on the signal that ended training."""
        try:
            is_asked_to_stop = self.stop.number is not None and not isinstance(error, Exception)
            if self.stop.repeated:
                return
            is_old = time.monotonic() - self._saved > WORTH_SAVING_SECONDS
            if self._is_unwritten and (is_asked_to_stop or (error is None and is_old)):
                self._write()
            if isinstance(error, Exception):
                self._writer.wait()
            else:
                self._writer.finish()
        finally:
            self.stop.release()
        if is_asked_to_stop:
            if self._state:
                self.log(f"stopped by a signal; the checkpoint of step {self._state['step']} is written")
            self.stop.deliver()

    # -- saving

    def before_batch(self) -> None:
        if self.training:
            self.stop.deferred = True

    def after_batch(self) -> None:
        if not self.training:
            return
        self.step += 1
        self._writer.check()
        is_last = self.iter + 1 == self.n_iter
        is_due, is_asked_to_stop = self._wishes(is_last)
        if is_last or is_due or is_asked_to_stop:
            self._copy(self.iter + 1)
        if is_due or is_asked_to_stop:
            self._write()
        if is_asked_to_stop:
            # A rank that got no signal ends with the others.
            self.stop.number = self.stop.number or signal.SIGTERM
            raise SystemExit(128 + self.stop.number)
        self.stop.deferred = not is_last
        if is_last and self.stop.number is not None and self.distribution.world == 1:
            # The signal came while the state was copied; the copy is written when training ends.
            raise SystemExit(128 + self.stop.number)

    def _wishes(self, is_last: bool) -> tuple[bool, bool]:
        """Return whether a checkpoint is due and whether to stop, the same on all ranks."""
        due_by_steps = bool(self.steps) and self.step % self.steps == 0
        due_by_time = bool(self.minutes) and time.monotonic() - self._saved > 60 * self.minutes
        is_asked_to_stop = self.stop.number is not None
        if self.distribution.world == 1:
            return due_by_steps or due_by_time, is_asked_to_stop
        if not is_last and self.step % AGREED_EVERY_STEPS:
            return due_by_steps, False
        due_by_time, is_asked_to_stop = map(self.distribution.any, (due_by_time, is_asked_to_stop))
        return due_by_steps or due_by_time, is_asked_to_stop

    def _copy(self, batch: int) -> None:
        """Copy the state of training, which goes on with number `batch` of this epoch."""
        self._writer.finish()
        inner = self.learn.inner
        own = {
            **named("hidden", inner.hidden_tensors()),
            **named("gradient", pending_gradients(inner)),
            **named("random", random_states(devices_of(inner))),
            **named("before_update", self.learn.guard.hidden or {}),
        }
        parts = {name: one.state() for name, one in self.parts.items() if isinstance(one, HasState)}
        if self.distribution.world > 1:
            own[OWN_PARTS] = torch.frombuffer(bytearray(json.dumps(parts).encode()), dtype=torch.uint8)
        ranks = self.distribution.gather(own)
        optimizer, groups = optimizer_state(self.opt.opt)
        state = {
            "step": self.step,
            TOTAL_STEPS: self.recorder.progress.total,
            "phase": self.recorder.phase,
            "epoch": self.epoch,
            "batch": batch,
            "pct_train": self.pct_train,
            "train_iter": self.train_iter,
            "optimizer": groups,
            "parts": parts,
            "seconds": self.seconds(),
            "machines": self.machines(),
        }
        # A copy, because training goes on changing its lists while it is written.
        self._state = copy.deepcopy(state)
        self._is_unwritten = True
        if self.distribution.rank != 0:
            return
        tensors = {**named("model", own_tensors(inner)), **named("optimizer", optimizer)}
        for rank, theirs in enumerate(ranks):
            tensors |= named(f"rank{rank}", theirs)
        for name, one in self.parts.items():
            if isinstance(one, HasTensors):
                tensors |= named(f"part.{name}", one.tensors())
        self._copies.take(tensors)

    def _write(self) -> None:
        """Begin to write what was copied."""
        self._is_unwritten = False
        self._saved = time.monotonic()
        if self.distribution.rank != 0:
            return
        copies, state = self._copies, self._state

        def write() -> None:
            copies.wait()
            self.store.save(state["step"], copies.tensors, state)

        self._writer.start(write)

    # -- going on

    def before_train(self) -> None:
        """Restore the checkpoint just before the first batch that it has not seen."""
        if self.resume is None:
            self.learn.first_batch = 0
            return
        tensors, state = self.resume
        self.resume = None
        inner = self.learn.inner
        load_weights(inner, part("model", tensors), "the checkpoint")
        restore_optimizer(self.opt.opt, part("optimizer", tensors), state["optimizer"])
        self.step = state["step"]
        self.learn.pct_train, self.learn.train_iter = state["pct_train"], state["train_iter"]
        self.learn.first_batch = state["batch"]
        own = _own(tensors, state["machines"][-1]["processes"], self.distribution)
        inner.restore_hidden(part("hidden", own))
        restore_gradients(inner, part("gradient", own))
        device = next(inner.parameters()).device
        before = {name: tensor.to(device) for name, tensor in part("before_update", own).items()}
        self.learn.guard.hidden = before or None
        parts = json.loads(own[OWN_PARTS].numpy().tobytes()) if OWN_PARTS in own else state["parts"]
        for name, one in self.parts.items():
            if isinstance(one, HasState) and name in parts:
                one.restore(parts[name])
            if isinstance(one, HasTensors):
                one.restore_tensors(part(f"part.{name}", tensors))
        # Random states come last, because restoring the rest may draw numbers.
        if states := part("random", own):
            restore_random_states(states, devices_of(inner))


def machine(model: nn.Module, processes: int = 1) -> dict[str, Any]:
    """Return what has to be equal for a resumed run to be equal to the bit."""
    device = next(model.parameters()).device
    described = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "float32_products": torch.get_float32_matmul_precision(),
        "torch": torch.__version__,
        "processes": processes,
    }
    if processes > 1:
        described["backend"] = "nccl" if device.type == "cuda" else "gloo"
    computes = (getattr(module, "compute", None) for module in model.modules())
    compute = next((one for one in computes if is_dataclass(one) and not isinstance(one, type)), None)
    if compute is not None:
        described |= {name: str(value).removeprefix("torch.") for name, value in asdict(compute).items()}
    return described


def differences(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words in what two machines differ, or an empty string."""
    names = [name for name in {**earlier, **now} if earlier.get(name) != now.get(name)]
    return ", ".join(f"{name} {now.get(name)} (was {earlier.get(name)})" for name in names)


def newest_checkpoint(store: CheckpointStore, distribution: Distribution) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, or None; all ranks take the one that rank 0 finds."""
    if distribution.world == 1:
        return store.latest()
    found = store.latest() if distribution.is_main else None
    step = distribution.broadcast(found.state["step"] if found else None)
    if step is None or distribution.is_main:
        return found
    if checkpoint := store.at(step):
        return checkpoint
    raise StageFailed(f"{store.folder}: the checkpoint of step {step} cannot be read by all processes")


def _own(tensors: Mapping[str, Tensor], ranks: int, distribution: Distribution) -> Tensors:
    """Return this rank's part of the tensors that `ranks` ranks had.

    Where their number has changed, streams are shared anew.

    Hidden states are (1, B/R, units). New ranks have no random states yet. Gradients that wait for an update
    are lost with their rank.
    """
    rank, world = distribution.rank, distribution.world
    own = part(f"rank{rank}", tensors)
    if ranks == world:
        return own
    hidden = [part(f"rank{each}.hidden", tensors) for each in range(ranks)]
    streams = {name: torch.cat([one[name] for one in hidden], dim=1) for name in hidden[0]}
    shared = {name: tensor.tensor_split(world, dim=1)[rank].contiguous() for name, tensor in streams.items()}
    return {**named("hidden", shared), **named("random", part("random", own))}
