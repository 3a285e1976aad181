"""The stages of step 3: pretraining and fine-tuning of language models."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.language_model.bundled import BundledModel
from ulmfit.language_model.settings import (
    Architecture,
    BackwardOrder,
    Direction,
    FineTuneSettings,
    PretrainSettings,
)
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.stage import Processes, Stage, Work
from ulmfit.tokens.stages import EncodeTokens


class LanguageModelStage(Stage):
    """A stage whose folder holds a language model.

    Files: `model.safetensors`, `model.json` (architecture, direction), `history.json`, `metrics.json`.
    """

    tokens: EncodeTokens = Field(description="token arrays that it is trained on")

    @property
    def reading(self) -> tuple[str, ...]:
        """Labels of what it reads, if that is not the recipe's own data: words, or a part of the texts."""
        words = () if self.tokens.tokenizer.has_subwords else ("words",)
        return (*words, *self.tokens.documents.details)


class Pretrain(LanguageModelStage):
    """A language model trained from nothing on a large corpus (ULMFiT, section 3.1)."""

    stage_name: ClassVar[str] = "pretrain"
    stage_version: ClassVar[int] = 3
    settings: PretrainSettings = PretrainSettings()
    direction: Direction = "forward"

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs."""
        return (self.direction, *self.reading)

    @property
    def backward_order(self) -> BackwardOrder:
        """How backward texts are read."""
        return "bos-first"

    @model_validator(mode="after")
    def _tokenizer_can_sample(self) -> Self:
        self.tokens.tokenizer.check_sampling(self.settings.subword_sampling)
        return self

    @model_validator(mode="after")
    def _every_layer_group_has_a_rate(self) -> Self:
        self.settings.check_groups(self.settings.architecture.layer_groups)
        return self

    def processes(self) -> Processes:
        """Return the processes that the settings ask for; several can train a language model together."""
        return self.settings.processes(together=True)

    def resolved(self) -> Self:
        """Return a copy with the precision that `auto` means on this machine."""
        return self.changed(settings=self.settings.resolved())

    def build(self, work: Work) -> None:
        """Train and evaluate."""
        from ulmfit.language_model.fit import pretrain

        pretrain(self, work)


class ImportedModel(Stage):
    """A pretrained language model of another program: fastai's AWD_LSTM and AWD_QRNN, MultiFiT's releases.

    Files: `model.safetensors`, `model.json`, and `vocabulary.json`, the pieces in the order of the rows. It
    has no tokenizer: the stage that uses it has one, and rows are matched by the text of the pieces.
    """

    stage_name: ClassVar[str] = "imported"
    weights: File = Field(description=".pth file from torch.save or fastai, or .safetensors")
    vocabulary: File = Field(
        description="itos.pkl, .json list, SentencePiece .model or .vocab; one entry per row"
    )
    direction: Direction = Field(description="reading direction of the model; the weights do not show it")
    backward_order: BackwardOrder = Field(
        "bos-first",
        description="how it read a text a b c backward; bos-first: [bos c b a]; bos-last: [c b a bos], as "
        "fastai v1; eos-first: [eos c b a bos], as n-waves; forward models have bos-first",
    )
    description: File | None = Field(
        None, description="the model.json that came with the weights, which has to agree; None: there is none"
    )
    architecture: Architecture | None = Field(
        None, description="size that the weights have to have; None: any size"
    )

    @model_validator(mode="after")
    def _order_is_for_backward_texts(self) -> Self:
        if self.direction == "forward" and self.backward_order != "bos-first":
            raise ValueError("backward_order is for models that read backward: leave it out")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs."""
        return (self.direction,)

    def build(self, work: Work) -> None:
        """Read the weights without running code from them, and write them in our layout."""
        from ulmfit.language_model.imported import import_model

        import_model(
            work.file(self.weights),
            work.file(self.vocabulary),
            work.folder,
            self.direction,
            description=None if self.description is None else work.file(self.description),
            backward_order=self.backward_order,
            architecture=self.architecture,
            log=work.log,
        )


class FineTune(LanguageModelStage):
    """A pretrained language model adapted to the target texts (ULMFiT, section 3.2)."""

    stage_name: ClassVar[str] = "finetune"
    stage_version: ClassVar[int] = 3
    pretrained: Pretrain | ImportedModel | BundledModel = Field(
        description="model to start from; this one has its direction, and may have another tokenizer"
    )
    settings: FineTuneSettings = FineTuneSettings()
    seed: int = Field(0, description="seed of dropout and of the order of texts")

    @model_validator(mode="after")
    def _tokenizer_can_sample(self) -> Self:
        self.tokens.tokenizer.check_sampling(self.settings.subword_sampling)
        return self

    @model_validator(mode="after")
    def _every_layer_group_has_a_rate(self) -> Self:
        # The size of an imported model may be unknown until it is read; then training checks it.
        if isinstance(self.pretrained, Pretrain):
            self.settings.check_groups(self.pretrained.settings.architecture.layer_groups)
        return self

    @property
    def direction(self) -> Direction:
        """The pretrained model's direction."""
        return self.pretrained.direction

    @property
    def backward_order(self) -> BackwardOrder:
        """How the pretrained model reads backward texts."""
        return self.pretrained.backward_order

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs."""
        return (self.direction, *self.reading, f"seed {self.seed}")

    def processes(self) -> Processes:
        """Return the processes that the settings ask for; several can train a language model together."""
        return self.settings.processes(together=True)

    def resolved(self) -> Self:
        """Return a copy with the precision that `auto` means on this machine."""
        return self.changed(settings=self.settings.resolved())

    def build(self, work: Work) -> None:
        """Train and evaluate."""
        from ulmfit.language_model.fit import fine_tune

        fine_tune(self, work)
