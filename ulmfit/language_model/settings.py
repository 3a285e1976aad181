"""Settings of a language model: its size, its dropouts, its training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ulmfit.pipeline.settings import NOT_IN_KEY, Settings
from ulmfit.training.settings import TrainingSettings

DROPOUTS = ("output", "hidden", "input", "embedding", "weight", "zoneout")
Probability = Annotated[float, Field(ge=0, lt=1)]
Direction = Literal["forward", "backward"]
BackwardOrder = Literal["bos-first", "bos-last", "eos-first"]
"""How a text a b c is read backward: [bos c b a], which is ours; [c b a bos], which is fastai v1's, the whole
array reversed; [eos c b a bos], which is n-waves'."""


class Architecture(Settings):
    """Kind and size of an encoder."""

    kind: Literal["lstm", "qrnn"] = Field(
        "lstm", description="lstm: AWD-LSTM; qrnn: quasi-recurrent (Bradbury et al. 2016, arXiv 1611.01576)"
    )
    embedding_size: int = Field(400, ge=1, description="units of the embedding and of the last layer")
    hidden_size: int = Field(1152, ge=1, description="units of the layers before the last")
    layers: int = Field(3, ge=1, description="recurrent layers")
    window: Literal[1, 2] = Field(
        2,
        description="qrnn: tokens that the first layer sees at once, the others see 1 (fastai v1); "
        "lstm: unused",
    )

    @property
    def layer_groups(self) -> int:
        """Layer groups of a language model of this size: the layers, and embedding with decoder."""
        return self.layers + 1


class Dropouts(Settings):
    """The five dropouts of AWD-LSTM, and the QRNN's zoneout; 0 turns one off."""

    output: Probability = Field(0.1, description="on the last layer's outputs (classifier: in the head)")
    hidden: Probability = Field(0.15, description="between layers")
    input: Probability = Field(0.25, description="on the embedded inputs")
    embedding: Probability = Field(0.02, description="whole words of the embedding")
    weight: Probability = Field(0.2, description="hidden-to-hidden weights (qrnn: all weights of a layer)")
    zoneout: Probability = Field(
        0.0,
        description="qrnn: a unit keeps its cell over a token (Bradbury et al. 2016, section 2.1); "
        "lstm: unused",
    )
    multiplier: float = Field(1.0, ge=0, description="scales all of them; 0: no dropout")

    @model_validator(mode="after")
    def _are_probabilities_after_the_multiplier(self) -> Self:
        if largest := [name for name in DROPOUTS if getattr(self, name) * self.multiplier >= 1]:
            raise ValueError(f"{largest[0]} times the multiplier has to be below 1")
        return self

    def scaled(self) -> Self:
        """Return the probabilities after the multiplier."""
        values = {name: getattr(self, name) * self.multiplier for name in DROPOUTS}
        return type(self)(**values, multiplier=1.0)


class LanguageModelSettings(TrainingSettings):
    """Training of a language model on streams of tokens."""

    bptt: int = Field(70, ge=2, description="tokens of a chunk: the length of truncated back-propagation")
    bptt_jitter: Literal["off", "scaled", "unscaled"] = Field(
        "off",
        description="chunks of random length: about bptt tokens, one in twenty half as many (AWD-LSTM, arXiv "
        "1708.02182, section 4.1); scaled: the rate of a step is multiplied by length / bptt, as there; "
        "unscaled: it is not (ULMFiT's scripts); off: bptt tokens always (fastai v1 and v2, MultiFiT)",
    )
    sampled_softmax: int = Field(
        0,
        ge=0,
        description="pieces that the softmax of a training step is over, drawn by frequency, those of the "
        "chunk among them; validation is over all pieces; 0: all (n-waves: 15,000)",
    )
    ar: float = Field(2.0, ge=0, description="activation regularization (alpha); 0: off")
    tar: float = Field(1.0, ge=0, description="temporal activation regularization (beta); 0: off")
    reset_state_every: int = Field(
        0,
        ge=0,
        serialization_alias="forget_after",
        description="chunks between two resets of a stream's state to zero: the model then knows the empty "
        "state from which each document is scored; 0: never (the papers)",
    )
    shuffle_documents: bool = Field(
        True,
        description="training reads the documents in another random order every epoch (fastai v1 and v2); "
        "false: in the order of the corpus (fastai 0.7)",
    )
    dropouts: Dropouts = Dropouts()
    evaluation_batch: Annotated[int, NOT_IN_KEY] = Field(32, ge=1, description="documents scored at once")
    cuda_graphs: Annotated[bool, NOT_IN_KEY] = Field(
        True, description="on CUDA replay training steps from a graph where that is possible; false: never"
    )

    @model_validator(mode="after")
    def _smooths_over_all_pieces(self) -> Self:
        if self.sampled_softmax and self.label_smoothing:
            raise ValueError("sampled_softmax and label_smoothing exclude each other: set one of them to 0")
        return self


class PretrainSettings(LanguageModelSettings):
    """Pretraining on a large corpus."""

    architecture: Architecture = Architecture()
    seed: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="seed of initialization, dropout and the order of texts; shared by all seeds of a recipe",
    )


class FineTuneSettings(LanguageModelSettings):
    """Adaptation of a pretrained language model to the target texts."""
