"""Settings of a training run: phases, optimizer, checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from ulmfit.settings import NOT_IN_KEY, Settings


class Phase(Settings):
    """A number of epochs with one schedule and one set of trainable layer groups."""

    epochs: int = Field(1, ge=1, description="passes over the training data")
    learning_rate: float = Field(4e-3, gt=0, description="peak rate of the last layer group")
    discriminative: float = Field(
        2.6, ge=1, description="each lower layer group's rate is divided by this; 1: the same rate everywhere"
    )
    trainable_groups: int = Field(0, ge=0, description="layer groups trained, counted from the top; 0: all")
    schedule: Literal["one_cycle", "stlr", "constant"] = Field(
        "one_cycle", description="one_cycle: fastai's; stlr: slanted triangular (ULMFiT, section 3.2)"
    )
    warm_up: float = Field(0.25, gt=0, lt=1, description="share of the steps in which the rate rises")
    momentum: tuple[float, float, float] = Field(
        (0.95, 0.85, 0.95), description="Adam's beta1 at the start, the peak and the end of one cycle"
    )


class TrainingSettings(Settings):
    """How a model is trained; the data and the model are somebody else's."""

    phases: tuple[Phase, ...] = Field((Phase(),), min_length=1, description="run one after the other")
    batch_size: int = Field(64, ge=1, description="streams (language model) or documents (classifier) a step")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay; 0: off")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of squared gradients")
    gradient_clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: off")
    subword_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="cuts training texts into other pieces every epoch; unigram: exponent of the pieces' "
        "probabilities, such as 0.2, less is more random (alpha of Kudo 2018, arXiv 1804.10959); bpe: "
        "probability that a merge is left out, such as 0.1 (Provilkov et al. 2020, arXiv 1910.13267); 0: off",
    )
    select: Literal["last", "best"] = Field(
        "last", description="weights that are kept: of the last epoch (the papers), or best on validation"
    )
    checkpoint_steps: Annotated[int, NOT_IN_KEY] = Field(
        0, ge=0, description="steps between checkpoints; 0: by time alone"
    )
    checkpoint_minutes: Annotated[float, NOT_IN_KEY] = Field(
        5.0, ge=0, description="minutes between checkpoints; 0: by steps alone"
    )
    device: Annotated[str, NOT_IN_KEY] = Field("auto", description="auto: cuda where there is one, else cpu")

    def with_epochs(self, *epochs: int) -> Self:
        """Return a copy whose phases, one after the other, run this many epochs."""
        changed = [phase.changed(epochs=n) for phase, n in zip(self.phases, epochs, strict=True)]
        return self.changed(phases=tuple(changed))
