"""Settings of a training run: phases, optimizer, precision, processes, checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings
from ulmfit.pipeline.stage import Processes
from ulmfit.training.precision import resolve_precision


class Phase(Settings):
    """A number of epochs with one schedule and one set of trainable layer groups."""

    epochs: int = Field(1, ge=1, description="passes over the training data")
    learning_rate: float = Field(4e-3, gt=0, description="peak rate of the last layer group")
    discriminative: float = Field(
        2.6, ge=1, description="each lower layer group's rate is divided by this; 1: the same rate everywhere"
    )
    lowest_rate: float = Field(
        0.0,
        ge=0,
        description="peak rate of the lowest layer group; those between lie evenly in log space, as with "
        "fastai's slice, and `discriminative` is not used; 0: off",
    )
    group_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (),
        description="peak rate of each layer group as a factor of `learning_rate`, lowest first, frozen ones "
        "included (language model: layers, embedding with decoder; classifier: embedding, layers, head), "
        "and `discriminative` is not used; (): off",
    )
    trainable_groups: int = Field(0, ge=0, description="layer groups trained, counted from the top; 0: all")
    schedule: Literal["one_cycle", "stlr", "cosine", "constant"] = Field(
        "one_cycle",
        description="one_cycle: fastai's; stlr: slanted triangular (ULMFiT, section 3.2); cosine: a line up "
        "from the floor, half a cosine down to it",
    )
    warm_up: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="share of the steps in which the rate rises; stlr: cut_frac of ULMFiT's equation 3",
    )
    ratio: float = Field(
        32.0,
        ge=1,
        description="stlr: how much smaller the lowest rate is than the peak (ULMFiT, equation 3)",
    )
    floor: float = Field(
        0.01, ge=0, le=1, description="first and last rate of the cosine schedule, as a share of the peak"
    )
    momentum: tuple[float, float, float] = Field(
        (0.95, 0.85, 0.95), description="Adam's beta1 at the start, the peak and the end of one cycle"
    )

    @model_validator(mode="after")
    def _has_one_kind_of_lower_rates(self) -> Self:
        if self.group_rates and self.lowest_rate:
            raise ValueError("group_rates and lowest_rate exclude each other: set one of them")
        return self

    def check_groups(self, groups: int) -> None:
        """Raise InputError where `group_rates` does not name the rates of this many layer groups."""
        if self.group_rates and len(self.group_rates) != groups:
            raise InputError(
                f"group_rates has {len(self.group_rates)} factors and the model {groups} layer groups: "
                f"expected one factor per group, lowest first"
            )


class TrainingSettings(Settings):
    """How a model is trained; data and model have settings of their own."""

    phases: tuple[Phase, ...] = Field((Phase(),), min_length=1, description="run one after the other")
    batch_size: int = Field(64, ge=1, description="streams (language model) or documents (classifier) a step")
    weight_decay: float = Field(0.01, ge=0, description="share of the weights, per update; 0: off")
    weight_decay_kind: Literal["decoupled", "l2"] = Field(
        "decoupled",
        description="decoupled: weights shrink by rate x decay (Loshchilov & Hutter 2019, arXiv 1711.05101); "
        "l2: decay x weights is added to the gradient before Adam, after clipping (fastai 0.7)",
    )
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of squared gradients")
    gradient_clip: float = Field(0.0, ge=0, description="largest norm of the gradient; 0: off")
    accumulation: int = Field(
        1, ge=1, description="batches whose mean gradient makes one update of the weights; 1: off"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of probability spread over all classes; 0: off"
    )
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="the weights that are evaluated and kept are an exponential moving average over the "
        "updates, such as 0.999; 0: off",
    )
    early_stopping: int = Field(
        0,
        ge=0,
        description="epochs of a phase without a lower validation loss (classifier: without a better "
        "select_metric) before it ends; 0: off",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="of matrix products and activations; auto: bf16 where the GPU or the CPU computes in it, "
        "else fp32. Weights, cell state, loss and optimizer are fp32 always",
    )
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
    skipped_steps: Annotated[int, NOT_IN_KEY] = Field(
        10, ge=0, description="updates in a row left out for infinite gradients before giving up; 0: never"
    )
    engine: Annotated[Literal["auto", "fast", "plain"], NOT_IN_KEY] = Field(
        "auto", description="how recurrent layers are computed; auto: fast where it can run, else plain torch"
    )
    gpus: Annotated[int, NOT_IN_KEY] = Field(
        0,
        ge=0,
        description="processes of a node, each with a GPU of its own (on a CPU: with a share of the cores); "
        "0: one, without a launcher",
    )
    nodes: Annotated[int, NOT_IN_KEY] = Field(1, ge=1, description="machines that train together")
    device: Annotated[str, NOT_IN_KEY] = Field("auto", description="auto: cuda where there is one, else cpu")

    def check_groups(self, groups: int) -> None:
        """Raise InputError where a phase's `group_rates` are not those of this many layer groups."""
        for phase in self.phases:
            phase.check_groups(groups)

    def with_epochs(self, *epochs: int) -> Self:
        """Return a copy whose phases, one after the other, run this many epochs."""
        changed = [phase.changed(epochs=n) for phase, n in zip(self.phases, epochs, strict=True)]
        return self.changed(phases=tuple(changed))

    def processes(self, *, together: bool) -> Processes:
        """Return what the settings ask for; `together`: whether several processes can train the model."""
        return Processes(self.gpus, self.nodes, together, self.device)

    def resolved(self) -> Self:
        """Return a copy whose precision is the one that `auto` means on this machine."""
        return self.changed(precision=resolve_precision(self.precision, self.device))
