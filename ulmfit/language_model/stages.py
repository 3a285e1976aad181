"""The stages of step 3: pretraining and fine-tuning of language models."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.language_model.settings import FineTuneSettings, PretrainSettings
from ulmfit.stage import Stage, Work
from ulmfit.tokens.stages import EncodeTokens

Direction = Literal["forward", "backward"]


class LanguageModelStage(Stage):
    """A stage whose folder holds a language model.

    Files: `model.safetensors`, `model.json` (architecture, direction), `history.json`, `metrics.json`.
    """

    tokens: EncodeTokens = Field(description="token arrays that it is trained on")


class Pretrain(LanguageModelStage):
    """A language model trained from nothing on a large corpus (ULMFiT, section 3.1)."""

    stage_name: ClassVar[str] = "pretrain"
    settings: PretrainSettings = PretrainSettings()
    direction: Direction = "forward"

    @model_validator(mode="after")
    def _tokenizer_can_sample(self) -> Self:
        self.tokens.tokenizer.check_sampling(self.settings.subword_sampling)
        return self

    def build(self, work: Work) -> None:
        """Train and evaluate."""
        from ulmfit.language_model.fit import pretrain

        pretrain(self, work)


class FineTune(LanguageModelStage):
    """A pretrained language model adapted to the target texts (ULMFiT, section 3.2)."""

    stage_name: ClassVar[str] = "finetune"
    pretrained: Pretrain = Field(description="where it begins; its direction is this one's")
    settings: FineTuneSettings = FineTuneSettings()
    seed: int = Field(0, description="seed of dropout and of the order of texts")

    @model_validator(mode="after")
    def _tokenizer_can_sample(self) -> Self:
        self.tokens.tokenizer.check_sampling(self.settings.subword_sampling)
        return self

    @property
    def direction(self) -> Direction:
        """The pretrained model's direction."""
        return self.pretrained.direction

    def build(self, work: Work) -> None:
        """Train and evaluate."""
        from ulmfit.language_model.fit import fine_tune

        fine_tune(self, work)
