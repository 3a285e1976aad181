"""Losses against torch and against float64 computed by hand, gradients included."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ulmfit.classifier.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    SquaredError,
    class_weights,
    effective_smoothing,
    positive_weights,
)
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.experiments.presets import MULTIFIT, MULTIFIT_FP16
from ulmfit.pipeline.errors import InputError

SETTINGS = ClassifierSettings()
LABELS = ["OFFENSE", "OTHER"]
SMOOTHING = st.sampled_from([0.0, 0.1, 0.7])
GAMMA = st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0])


def draw(seed: int, rows: int, classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return float64 logits, class numbers, yes-no targets and weights."""
    random = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(rows, classes, generator=random, dtype=torch.float64)
    numbers = torch.randint(classes, (rows,), generator=random)
    answers = torch.randint(2, (rows, classes), generator=random).double()
    weights = torch.rand(classes, generator=random, dtype=torch.float64) * 30 + 0.1
    return logits.requires_grad_(), numbers, answers, weights


def cross_entropy_by_hand(
    logits: list[list[float]], numbers: list[int], weights: list[float], smoothing: float, gamma: float
) -> float:
    total = normaliser = 0.0
    for row, number in zip(logits, numbers, strict=True):
        highest = max(row)
        log_sum = highest + math.log(sum(math.exp(value - highest) for value in row))
        for place, value in enumerate(row):
            share = smoothing / len(row) + (1 - smoothing) * (place == number)
            log_p = value - log_sum
            total += share * weights[place] * (1 - math.exp(log_p)) ** gamma * -log_p
        normaliser += weights[number]
    return total / normaliser


def binary_by_hand(
    logits: list[list[float]],
    answers: list[list[float]],
    weights: list[float],
    smoothing: float,
    gamma: float,
) -> float:
    losses = []
    for row, targets in zip(logits, answers, strict=True):
        for value, target, weight in zip(row, targets, weights, strict=True):
            p = 1 / (1 + math.exp(-value))
            share = smoothing / 2 + (1 - smoothing) * target
            yes, no = -math.log(p), -math.log(1 - p)
            losses.append(weight * share * (1 - p) ** gamma * yes + (1 - share) * p**gamma * no)
    return sum(losses) / len(losses)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 99), classes=st.integers(2, 5), smoothing=SMOOTHING, gamma=GAMMA)
def test_cross_entropy_by_hand(seed: int, classes: int, smoothing: float, gamma: float) -> None:
    logits, numbers, _, weights = draw(seed, 7, classes)
    for weight in (None, weights):
        given_weights = [1.0] * classes if weight is None else weight.tolist()
        loss = CrossEntropy(weight, smoothing, gamma)(logits, numbers)
        expected = cross_entropy_by_hand(logits.tolist(), numbers.tolist(), given_weights, smoothing, gamma)
        assert loss.item() == pytest.approx(expected, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 99), classes=st.integers(1, 5), smoothing=SMOOTHING, gamma=GAMMA)
def test_binary_cross_entropy_by_hand(seed: int, classes: int, smoothing: float, gamma: float) -> None:
    logits, _, answers, weights = draw(seed, 7, classes)
    for weight in (None, weights):
        given_weights = [1.0] * classes if weight is None else weight.tolist()
        loss = BinaryCrossEntropy(weight, smoothing, gamma)(logits, answers)
        expected = binary_by_hand(logits.tolist(), answers.tolist(), given_weights, smoothing, gamma)
        assert loss.item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_the_focal_factor_they_are_torchs_to_the_bit(smoothing: float, weighted: bool) -> None:
    logits, numbers, answers, weights = draw(1, 9, 4)
    weight = weights if weighted else None
    ours = CrossEntropy(weight, smoothing)(logits, numbers)
    theirs = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)(logits, numbers)
    assert torch.equal(ours, theirs)
    assert torch.equal(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))
    smoothed = answers * (1 - smoothing) + smoothing / 2
    ours = BinaryCrossEntropy(weight, smoothing)(logits, answers)
    theirs = nn.BCEWithLogitsLoss(pos_weight=weight)(logits, smoothed)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_focal_form_goes_over_into_cross_entropy(smoothing: float) -> None:
    """An exponent near 0 takes the focal path and has to give the plain loss and its gradient."""
    logits, numbers, answers, weights = draw(2, 9, 4)
    for ours, theirs, targets in (
        (CrossEntropy(weights, smoothing, 1e-12), CrossEntropy(weights, smoothing), numbers),
        (BinaryCrossEntropy(weights, smoothing, 1e-12), BinaryCrossEntropy(weights, smoothing), answers),
    ):
        losses = [loss(logits, targets) for loss in (ours, theirs)]
        torch.testing.assert_close(*losses, rtol=1e-8, atol=0)
        torch.testing.assert_close(
            *(torch.autograd.grad(loss, logits)[0] for loss in losses), rtol=1e-6, atol=1e-9
        )


def test_focal_loss_worked_out_by_hand() -> None:
    """Lin et al. 2017: a text with p = .9 weighs a hundredth of what it weighs in cross-entropy, gamma 2."""
    logits = torch.tensor([[math.log(9.0), 0.0]], dtype=torch.float64)
    loss = CrossEntropy(focal_gamma=2.0)(logits, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.01 * -math.log(0.9), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_are_those_of_finite_differences(gamma: float, smoothing: float) -> None:
    logits, numbers, answers, weights = draw(3, 5, 3)
    cross_entropy = CrossEntropy(weights, smoothing, gamma)
    binary = BinaryCrossEntropy(weights, smoothing, gamma)
    assert torch.autograd.gradcheck(lambda values: cross_entropy(values, numbers), logits)
    assert torch.autograd.gradcheck(lambda values: binary(values, answers), logits)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_predictions_have_finite_gradients(gamma: float, dtype: torch.dtype) -> None:
    """At p = 1 the slope of (1 - p)^gamma is infinite for a gamma below 1."""
    logits = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]], dtype=dtype, requires_grad=True)
    for loss, targets in (
        (CrossEntropy(None, 0.1, gamma), torch.tensor([0, 0])),
        (BinaryCrossEntropy(None, 0.1, gamma), torch.tensor([[1, 0], [1, 0]], dtype=dtype)),
    ):
        value = loss(logits, targets)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite() and value > 1
        assert gradient.isfinite().all() and gradient[1].abs().max() > 0.1


def test_squared_error_by_hand() -> None:
    outputs = torch.tensor([[1.0], [4.0]], requires_grad=True)
    loss = SquaredError()(outputs, torch.tensor([0.0, 2.0]))
    loss.backward()
    assert loss.item() == 2.5
    assert outputs.grad is not None and outputs.grad.tolist() == [[1.0], [2.0]]


def test_balanced_weights_of_a_class_that_label_noise_has_emptied() -> None:
    balanced = SETTINGS.changed(class_weights="balanced")
    weights = class_weights(numpy.array([0, 0, 0]), LABELS, balanced)
    assert weights is not None and weights.tolist() == [0.5, 1.5]
    logits, targets = torch.tensor([[1.0, -1.0], [0.5, 2.0]]), torch.tensor([0, 1])
    for smoothing, gamma in ((0.0, 0.0), (0.1, 0.0), (0.0, 2.0), (0.1, 0.5)):
        assert torch.isfinite(CrossEntropy(weights, smoothing, gamma)(logits, targets))


def test_rare_labels_weigh_more_when_balanced() -> None:
    balanced = SETTINGS.changed(class_weights="balanced")
    weights = class_weights(numpy.array([0, 0, 0, 1]), LABELS, balanced)
    assert weights is not None and weights.tolist() == pytest.approx([4 / 6, 2.0])
    assert class_weights(numpy.array([0, 1]), LABELS, SETTINGS) is None
    targets = numpy.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]])
    weights = positive_weights(targets, ["a", "b", "c"], balanced)
    assert weights is not None
    assert weights.tolist() == [3.0, 1.0, 1.0], (
        "a label of every text has no text without it to weigh against"
    )
    assert positive_weights(targets, ["a", "b", "c"], SETTINGS) is None


def test_given_weights_follow_the_labels_names() -> None:
    given_weights = SETTINGS.changed(class_weights={"OTHER": 0.5, "OFFENSE": 30})
    for weights in (
        class_weights(numpy.array([0, 1]), LABELS, given_weights),
        positive_weights(numpy.eye(2), LABELS, given_weights),
    ):
        assert weights is not None and weights.tolist() == [30.0, 0.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"OFFENSE": 1, "OTHR": 1, "OTHER": 1}, "'OTHR' is no label; .* OFFENSE, OTHER"),
        ({"OFFENSE": 1}, "'OTHER' has no weight; .* OFFENSE, OTHER"),
        ({"x": 1, "OTHER": 1}, "'x' is no label and 'OFFENSE' has no weight"),
        ({}, "'OFFENSE', 'OTHER' has no weight"),
    ],
)
def test_weights_of_other_labels_are_refused_in_one_line(weights: dict[str, float], message: str) -> None:
    changed = SETTINGS.changed(class_weights=weights)
    for make in (
        lambda: class_weights(numpy.array([0, 1]), LABELS, changed),
        lambda: positive_weights(numpy.eye(2), LABELS, changed),
    ):
        with pytest.raises(InputError, match=message) as error:
            make()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_weights": {"a": 0}},
        {"class_weights": {"a": -1}},
        {"class_weights": {"a": math.nan}},
        {"class_weights": {"a": math.inf}},
        {"class_weights": "heavy"},
        {"focal_gamma": -1},
        {"focal_gamma": math.inf},
        {"label_smoothing": 1.0},
    ],
)
def test_impossible_settings_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        SETTINGS.changed(**changes)


def test_names_of_weights_are_composed_as_labels_are() -> None:
    composed, decomposed = "sch\u00f6n", "scho\u0308n"
    settings = ClassifierSettings(class_weights={decomposed: 2.0, "x": 1.0})
    settings.check_labels([composed, "x"])
    with pytest.raises(ValueError, match="one label in two spellings"):
        ClassifierSettings(class_weights={decomposed: 2.0, composed: 1.0})


def test_smoothing_divided_by_the_number_of_classes() -> None:
    assert effective_smoothing(SETTINGS.changed(label_smoothing=0.1), 4) == 0.1
    divided = SETTINGS.changed(label_smoothing=0.1, smoothing_divided_by_classes=True)
    assert [effective_smoothing(divided, classes) for classes in (2, 4)] == [0.05, 0.025]
    assert effective_smoothing(MULTIFIT.classifier, 4) == 0.025
    assert effective_smoothing(MULTIFIT_FP16.classifier, 4) == 0.1


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 1.0, 3.0])])
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_probabilities_of_one_label_are_that_label(weight: torch.Tensor | None, gamma: float) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    loss = CrossEntropy(weight, label_smoothing=0.1, focal_gamma=gamma)
    soft = torch.nn.functional.one_hot(targets, 3).float()
    assert loss(logits, soft).item() == pytest.approx(loss(logits, targets).item(), rel=1e-5)


def test_soft_labels_weigh_the_labels_by_their_probabilities() -> None:
    logits, soft = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.7, 0.3]])
    no, yes = (CrossEntropy()(logits, torch.tensor([label])).item() for label in (0, 1))
    assert CrossEntropy()(logits, soft).item() == pytest.approx(0.7 * no + 0.3 * yes, rel=1e-5)
