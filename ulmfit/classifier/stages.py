"""The stage of step 4: training of a classifier and its predictions."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.datasets.stages import DatasetStage
from ulmfit.language_model.bundled import BundledModel
from ulmfit.language_model.settings import Architecture
from ulmfit.language_model.stages import BackwardOrder, Direction, FineTune, ImportedModel, Pretrain
from ulmfit.pipeline.stage import Processes, Stage, Work
from ulmfit.tokens.stages import TokenizerStage


class TrainClassifier(Stage):
    """A classifier on top of a language model's encoder (ULMFiT, section 3.3), or from scratch.

    Files: `model.safetensors`, `model.json`, `history.json`, `predictions-valid.parquet`,
    `predictions-test.parquet`.
    """

    stage_name: ClassVar[str] = "classifier"
    stage_version: ClassVar[int] = 3
    dataset: DatasetStage = Field(description="the labelled texts")
    tokenizer: TokenizerStage = Field(description="the language model's tokenizer")
    language_model: FineTune | Pretrain | ImportedModel | BundledModel | None = Field(
        None, description="whose encoder it begins with; None: random weights (from scratch)"
    )
    begins_with: TrainClassifier | None = Field(
        None,
        description="a classifier of the same labels and size whose weights, head included, training begins "
        "with; None: the language model's encoder and a new head",
    )
    architecture: Architecture = Field(Architecture(), description="size of the encoder")
    direction: Direction = "forward"
    settings: ClassifierSettings = ClassifierSettings()
    seed: int = Field(0, description="seed of initialization, dropout and batches")

    @model_validator(mode="after")
    def _tokenizer_can_sample(self) -> Self:
        self.tokenizer.check_sampling(self.settings.subword_sampling)
        return self

    @model_validator(mode="after")
    def _every_layer_group_has_a_rate(self) -> Self:
        # Embedding, layers, head.
        self.settings.check_groups(self.architecture.layers + 2)
        return self

    @model_validator(mode="after")
    def _settings_fit_the_task(self) -> Self:
        self.settings.check_task(self.dataset.task, self.dataset.positive_label)
        return self

    @model_validator(mode="after")
    def _fits_the_language_model(self) -> Self:
        model = self.language_model
        if model is not None and model.direction != self.direction:
            raise ValueError(f"direction {self.direction}, but the language model reads {model.direction}")
        if isinstance(model, FineTune) and model.tokens.tokenizer != self.tokenizer:
            raise ValueError("tokenizer: expected the one that the language model was fine-tuned with")
        return self

    @model_validator(mode="after")
    def _fits_what_it_begins_with(self) -> Self:
        for name in ("tokenizer", "language_model", "architecture", "direction"):
            if self.begins_with is not None and getattr(self.begins_with, name) != getattr(self, name):
                raise ValueError(f"begins_with has another {name}: expected the same one")
        return self

    @property
    def backward_order(self) -> BackwardOrder:
        """How backward texts are read: as the language model read them."""
        return "bos-first" if self.language_model is None else self.language_model.backward_order

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        model = self.language_model
        start = (
            "from scratch" if model is None else "" if isinstance(model, FineTune) else "without fine-tuning"
        )
        words = () if self.tokenizer.has_subwords else ("words",)
        return (
            self.direction,
            *([start] if start else []),
            *(["after soft labels"] if self.begins_with else []),
            *words,
            *self.dataset.details,
            f"seed {self.seed}",
        )

    def processes(self) -> Processes:
        """Return the processes that the settings ask for; a classifier is always trained by one."""
        return self.settings.processes(together=False)

    def resolved(self) -> Self:
        """Return a copy with the precision that `auto` means on this machine."""
        return self.changed(settings=self.settings.resolved())

    def build(self, work: Work) -> None:
        """Train, and predict validation and test texts; what is tuned is tuned on validation."""
        from ulmfit.classifier.fit import build

        build(self, work)
