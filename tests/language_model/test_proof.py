"""The check of the fast engine before a training on CUDA, with engines that are right and wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ulmfit.language_model.compute import Compute
from ulmfit.language_model.engines.proof import loss_and_gradients, proved, small_chunks
from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts

CPU = torch.device("cpu")
FAST = Compute(torch.float32, "fast")


def test_an_engine_that_agrees_is_kept_and_says_nothing() -> None:
    said: list[str] = []
    assert proved(FAST, lambda compute: [torch.ones(3)], said.append) == FAST
    assert said == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (torch.full((3,), 1.1), "result 1 of 2 differs by 0.1, expected 0.005 at most"),
        (torch.full((3,), torch.nan), "result 1 of 2 is not finite"),
        (RuntimeError("no kernel image\nis available"), "RuntimeError: no kernel image)"),
    ],
)
def test_an_engine_that_differs_or_fails_is_replaced_with_one_line(
    wrong: Tensor | Exception, reason: str
) -> None:
    def run(compute: Compute) -> list[Tensor]:
        if compute.engine == "plain":
            return [torch.ones(1), torch.ones(3)]
        if isinstance(wrong, Exception):
            raise wrong
        return [torch.ones(1), wrong]

    said: list[str] = []
    assert proved(FAST, run, said.append) == Compute(torch.float32, "plain")
    assert len(said) == 1 and reason in said[0] and "please report" in said[0]


def test_what_was_declined_is_not_tried() -> None:
    plain = Compute(torch.bfloat16, "plain")
    assert proved(plain, lambda compute: pytest.fail("it ran"), print) == plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["lstm", "qrnn"])
def test_both_engines_of_a_cpu_agree_on_a_whole_step_and_nothing_is_left_behind(
    dtype: torch.dtype, kind: str
) -> None:
    torch.manual_seed(0)
    architecture = Architecture(kind=kind, embedding_size=16, hidden_size=24, layers=2)
    model = LanguageModel(50, architecture, Dropouts()).train()
    loss = StreamLoss(model, LanguageModelLoss(), 2.0, 1.0)
    model.makes_logits = False
    chunks = small_chunks(50, CPU)

    def total() -> Tensor:
        model.reset()
        return torch.stack([loss(model(ids[:, :-1]), ids[:, 1:]) for ids in chunks]).sum()

    def run(compute: Compute) -> list[Tensor]:
        model.set_compute(compute)
        return loss_and_gradients(total, model.parameters(), CPU)

    before = torch.random.get_rng_state()
    said: list[str] = []
    fast = Compute(dtype, "fast")
    assert proved(fast, run, said.append) == fast, said
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())
