"""The papers' classifier schedules as phases, by name and number of epochs: `layered:8`.

fastai's `slice(low, high)` is `Phase(lowest_rate=low, learning_rate=high)`: the rates of all layer groups,
frozen ones included, lie evenly in log space between the two.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit.training.settings import Phase

GROUPS = 5
"""Layer groups of a classifier with three recurrent layers: embedding, layers, head."""

RANGE = 2.6**4
"""MultiFiT's highest rate divided by its lowest, except in `1cycle`."""

NAMES = ("1cycle", "2cycle", "layered", "gradual")
FORM = "NAME:EPOCHS, such as layered:8; gradual:EPOCHS:GROUPS for a model that has not 5 layer groups"


def slanted(epochs: int, rate: float, trainable_groups: int = 0) -> Phase:
    """Return a phase of slanted triangular rates: cut fraction .1 (section 3.2), beta1 .7 (section 4.1)."""
    return Phase(
        epochs=epochs,
        learning_rate=rate,
        trainable_groups=trainable_groups,
        schedule="stlr",
        warm_up=0.1,
        momentum=(0.7, 0.7, 0.7),
    )


def gradual_unfreezing(groups: int, rate: float, last_epochs: int) -> tuple[Phase, ...]:
    """Return ULMFiT's phases: one layer group more every epoch, then all of them (section 3.3)."""
    return (*(slanted(1, rate, trained) for trained in range(1, groups)), slanted(last_epochs, rate))


def multifit_cycle(
    epochs: int,
    rate: float,
    *,
    lowest_rate: float = 0.0,
    trainable_groups: int = 0,
) -> Phase:
    """Return one cycle as in MultiFiT's code: momentum .8 to .7 and back, fastai v1's warm-up of 30%.

    Without `lowest_rate` all layer groups have the same rate.
    """
    return Phase(
        epochs=epochs,
        learning_rate=rate,
        lowest_rate=lowest_rate,
        discriminative=1,
        trainable_groups=trainable_groups,
        warm_up=0.3,
        momentum=(0.8, 0.7, 0.8),
    )


def multifit_1cycle(epochs: int) -> tuple[Phase, ...]:
    """Return `1cycle` of MultiFiT's code: one cycle of all layers, slice(1e-2 / 2.6**4, 2e-2)."""
    return (multifit_cycle(epochs, 2e-2, lowest_rate=1e-2 / RANGE),)


def multifit_2cycle(epochs: int) -> tuple[Phase, ...]:
    """Return `2cycle` of MultiFiT's code: the head for an epoch, then all layers for the others."""
    _check("2cycle", epochs, 2)
    return (
        multifit_cycle(1, 2e-2, trainable_groups=1),
        multifit_cycle(epochs - 1, 1e-2, lowest_rate=1e-2 / RANGE),
    )


def multifit_layered(epochs: int) -> tuple[Phase, ...]:
    """Return `layered` of MultiFiT's code: head, last two groups, last three, an epoch each; then all.

    As there, the last phase has `epochs` - 4 epochs, so that all phases together have `epochs` - 1.
    """
    _check("layered", epochs, 6)
    return (
        multifit_cycle(1, 2e-2, trainable_groups=1),
        multifit_cycle(1, 1e-2, lowest_rate=1e-2 / RANGE, trainable_groups=2),
        multifit_cycle(1, 5e-3, lowest_rate=5e-3 / RANGE, trainable_groups=3),
        multifit_cycle(epochs - 4, 1e-3, lowest_rate=1e-3 / RANGE),
    )


def ulmfit_gradual(epochs: int, groups: int = GROUPS) -> tuple[Phase, ...]:
    """Return ULMFiT's gradual unfreezing with slanted triangular rates of .01, `epochs` in all."""
    if groups < 1:
        raise ValueError("schedule gradual: expected at least 1 layer group")
    _check("gradual", epochs, groups)
    return gradual_unfreezing(groups, 1e-2, epochs - groups + 1)


def all_at_once(phases: Sequence[Phase], learning_rate: float | None = None) -> tuple[Phase, ...]:
    """Return one phase of as many epochs in all: every layer from the first step, all at one rate, the last.

    Freezing and lower rates keep what an encoder has learnt. An encoder with random weights has learnt
    nothing: with frozen layers and lower rates it hardly trains, and would say little about the value of
    pretraining. The rate of a pretrained encoder may be too high for it: `learning_rate` replaces it.
    """
    rate = learning_rate or phases[-1].learning_rate
    epochs = sum(phase.epochs for phase in phases)
    everything = {"trainable_groups": 0, "discriminative": 1.0, "lowest_rate": 0.0, "group_rates": ()}
    return (phases[-1].changed(epochs=epochs, learning_rate=rate, **everything),)


def classifier_schedule(name: str, epochs: int, groups: int = GROUPS) -> tuple[Phase, ...]:
    """Return the phases of a schedule by its name; Only `gradual` depends on `groups`.

    Raises ValueError for an unknown name, and for fewer epochs than the schedule has.
    """
    if name == "gradual":
        return ulmfit_gradual(epochs, groups)
    schedules = {"1cycle": multifit_1cycle, "2cycle": multifit_2cycle, "layered": multifit_layered}
    if name not in schedules:
        raise ValueError(f"there is no schedule {name!r}; expected one of {', '.join(NAMES)}")
    _check(name, epochs, 1)
    return schedules[name](epochs)


def read_schedule(text: str) -> tuple[Phase, ...]:
    """Return the phases that `layered:8` or `gradual:10:6` stands for; raises ValueError."""
    name, *numbers = text.split(":")
    if not numbers or len(numbers) > (2 if name == "gradual" else 1) or not all(map(_is_number, numbers)):
        if name not in NAMES:
            raise ValueError(f"there is no schedule {name!r}; expected one of {', '.join(NAMES)}")
        raise ValueError(f"schedule {text!r}: expected {FORM}")
    return classifier_schedule(name, *map(int, numbers))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 6


def _check(name: str, epochs: int, least: int) -> None:
    if epochs < least:
        raise ValueError(f"schedule {name}: {epochs} epochs; expected at least {least}")
