"""A training step of a language model replayed from a CUDA graph: one launch instead of thousands.

Forward, loss and backward of a chunk are captured once their shapes have repeated, with buffers of their own
for ids, targets, hidden state and gradients. What torch keeps elsewhere stays there: the hidden state in
`model.state`, gradients in `.grad`, and the random numbers of dropout come from CUDA's default generator,
which a replay advances as the same step without a graph does. So checkpoints need to know nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ulmfit.language_model.encoder import State
from ulmfit.language_model.model import LanguageModel, Outputs
from ulmfit.language_model.settings import LanguageModelSettings

STEPS_BEFORE = 3
"""Steps of one shape that run without a graph first: libraries initialise themselves in them."""


def replays_steps(
    settings: LanguageModelSettings, device: torch.device, log: Callable[[str], object]
) -> bool:
    """Return whether to replay training steps from a CUDA graph, which needs chunks of one length."""
    if not settings.cuda_graphs or device.type != "cuda":
        return False
    if settings.bptt_jitter != "off":
        log("training steps are not replayed from a CUDA graph: bptt_jitter gives chunks many lengths")
        return False
    return True


class StepLoss(Protocol):
    """A loss from outputs without logits, and what is added to it before the backward pass."""

    def __call__(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Return the loss."""

    def penalty(self, outputs: Outputs) -> Tensor | None:
        """Return the addition, or None."""


class Results(NamedTuple):
    """Results of a step, in tensors that the next replay overwrites."""

    loss: Tensor
    outputs: Outputs
    state: State
    gradients: tuple[Tensor, ...]


Capture = Callable[[Callable[[], Results]], tuple[Results, Callable[[], None]]]
"""Takes a computation; returns the tensors of its results, and a function that computes them again."""


def captured_on_cuda(compute: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
    """Capture `compute` without running it."""
    graph = torch.cuda.CUDAGraph()
    # The thread that writes checkpoints may use the device meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = compute()
    return results, graph.replay


class GraphedStep:
    """Forward, loss and backward of a language model's chunks, from a graph where that is possible.

    A call returns the loss (without the penalty) and leaves gradients in `.grad`, added to those that are
    there; `outputs` then has the chunk's outputs without logits until the next call. It returns None, and
    has done nothing, where the step has to run without a graph: before the shapes have repeated, in the
    shorter last chunk of an epoch, and for ever after a capture has failed, of which `log` gets a line.
    """

    def __init__(
        self,
        model: LanguageModel,
        loss: StepLoss,
        log: Callable[[str], object],
        capture: Capture = captured_on_cuda,
    ) -> None:
        self.model, self.loss, self.log, self.capture = model, loss, log, capture
        self.outputs: Outputs | None = None
        self._failed = False
        self._seen: Any = None
        self._times = 0
        self._captured: _Captured | None = None
        self._signature: Any = None

    def __call__(self, ids: Tensor, targets: Tensor) -> Tensor | None:
        """Map ids and targets (B, T) to the loss, or to None."""
        self.outputs = None
        state = self.model.state
        if self._failed or state is None or state[0][0].shape[1] != ids.shape[0]:
            return None
        signature = self._described(ids, targets, state)
        if signature != self._signature and not self._ready(signature, ids, targets, state):
            return None
        assert self._captured is not None
        self._seen = None
        results = self._captured.run(ids, targets, state)
        self.model.state = [tuple(tensor.clone() for tensor in layer) for layer in results.state]
        self.outputs = results.outputs
        return results.loss.clone()

    def _ready(self, signature: Any, ids: Tensor, targets: Tensor, state: State) -> bool:
        """Count steps of this kind in a row, and capture the step when there were enough."""
        self._times = self._times + 1 if signature == self._seen else 1
        self._seen = signature
        if self._times <= STEPS_BEFORE:
            return False
        self._captured = self._signature = None
        try:
            self._captured = _Captured(self.model, self.loss, self.capture, ids, targets, state)
        except RuntimeError as error:
            self._failed = True
            self.model.state = state
            reason = (str(error).splitlines() or ["no message"])[0]
            self.log(f"training steps are not replayed from a CUDA graph: {reason}")
            return False
        self._signature = signature
        return True

    def _described(self, ids: Tensor, targets: Tensor, state: State) -> Any:
        """Return everything that a graph depends on and that may change between steps."""
        tensors = [ids, targets, *(tensor for layer in state for tensor in layer)]
        return (
            [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors],
            [parameter.requires_grad for parameter in self.model.parameters()],
            [parameter.data_ptr() for parameter in self.model.parameters()],
            self.model.encoder.compute,
            self.model.training,
        )


class _Captured:
    """One captured step and its buffers."""

    def __init__(
        self,
        model: LanguageModel,
        loss: StepLoss,
        capture: Capture,
        ids: Tensor,
        targets: Tensor,
        state: State,
    ) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.ids, self.targets = ids.clone(), targets.clone()
        self.state: State = [tuple(tensor.clone() for tensor in layer) for layer in state]
        makes_logits, model.makes_logits = model.makes_logits, False

        def compute() -> Results:
            model.state = self.state
            outputs = model(self.ids)
            value = loss(outputs, self.targets)
            penalty = loss.penalty(outputs)
            whole = value if penalty is None else value + penalty
            # As in a step without a graph, an infinite loss makes all gradients undefined.
            given = whole.detach() * 0 + 1
            gradients = torch.autograd.grad(whole, self.parameters, given, allow_unused=True)
            assert model.state is not None
            return Results(
                value.detach(),
                Outputs(None, outputs.raw.detach(), outputs.dropped.detach()),
                model.state,
                _without_gaps(gradients, self.parameters),
            )

        try:
            self.results, self.replay = capture(compute)
        finally:
            model.makes_logits = makes_logits
            model.state = state

    def run(self, ids: Tensor, targets: Tensor, state: State) -> Results:
        """Fill the buffers, compute, and add the gradients to those of the parameters."""
        self.ids.copy_(ids, non_blocking=True)
        self.targets.copy_(targets, non_blocking=True)
        for own, given in zip(self.state, state, strict=True):
            torch._foreach_copy_(list(own), list(given))
        earlier = self._earlier_gradients()
        self.replay()
        gradients = self.results.gradients
        if earlier:
            torch._foreach_add_(earlier, gradients)
        for parameter, gradient in zip(self.parameters, earlier or gradients, strict=True):
            parameter.grad = gradient
        return self.results

    def _earlier_gradients(self) -> list[Tensor]:
        """Return the gradients of batches before this one in tensors of their own; none: an empty list."""
        if all(parameter.grad is None for parameter in self.parameters):
            return []
        earlier = []
        for parameter, buffer in zip(self.parameters, self.results.gradients, strict=True):
            gradient = parameter.grad
            if gradient is None:
                gradient = torch.zeros_like(buffer)
            elif gradient.data_ptr() == buffer.data_ptr():
                gradient = gradient.clone()
            earlier.append(gradient)
        return earlier


def _without_gaps(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return zeros where a parameter has no gradient."""
    return tuple(
        torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, parameter in zip(gradients, parameters, strict=True)
    )
