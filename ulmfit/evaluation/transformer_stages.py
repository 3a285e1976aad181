"""A pretrained transformer, fine-tuned for comparison. Light: transformers is imported at the build."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.task import check_one_label
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.settings import NOT_IN_KEY, Settings
from ulmfit.pipeline.stage import Stage, Work


class HubModel(Settings):
    """A model on the Hugging Face hub, pinned to one commit of its repository."""

    name: str = Field(
        pattern=r"^[\w.-]+(/[\w.-]+)?$", description="such as dbmdz/bert-base-german-cased, owner first"
    )
    revision: str = Field(
        pattern="^[0-9a-f]{40}$", description="commit, 40 hexadecimal digits: branches and tags may move"
    )

    @property
    def label(self) -> str:
        """The name shown to people and written to records."""
        return self.name


class TransformerSettings(Settings):
    """Standard fine-tuning (Devlin et al. 2019, appendix A.3), with the remedies of Mosbach et al. 2021.

    AdamW with bias correction; the learning rate rises over the first steps, then falls on a line to zero.
    Biases and the parameters of normalization do not decay.
    """

    epochs: int = Field(
        4, ge=1, description="passes over the training texts; 2 to 4, or 20 for a few thousand texts and less"
    )
    batch_size: int = Field(16, ge=1, description="texts per step; 16 or 32")
    learning_rate: float = Field(2e-5, gt=0, description="peak; 2e-5 to 5e-5")
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises; 0: off")
    weight_decay: float = Field(0.01, ge=0, description="decoupled; 0: off")
    epsilon: float = Field(1e-6, gt=0, description="what Adam adds to its denominator")
    gradient_clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0: off")
    maximum_tokens: int = Field(
        256, ge=3, description="pieces of a text that are read, special ones included; the rest is cut"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rare labels weigh more, n / (classes x count)"
    )
    select: Literal["last", "best"] = Field(
        "last",
        description="weights that predict: the last epoch's, or those with the best score on validation",
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of matrix products and activations; weights and optimizer are fp32 always"
    )
    evaluation_batch: int = Field(64, ge=1, description="texts predicted at once")
    device: Annotated[str, NOT_IN_KEY] = Field("auto", description="auto: cuda where there is one, else cpu")


def origin_of(pretrained: File | HubModel) -> str:
    """Return where the weights are from, as a short text."""
    if isinstance(pretrained, HubModel):
        return f"{pretrained.name} at {pretrained.revision[:12]}"
    return pretrained.label


class TransformerClassifier(Stage):
    """A pretrained transformer with a new head, fine-tuned on the training texts as a whole.

    Files: `predictions-valid.parquet` and `predictions-test.parquet`, as every model of the table has them,
    and `transformer.json`: what was loaded, with hashes, and how training went. The weights are not kept.
    """

    stage_name: ClassVar[str] = "transformer"

    dataset: DatasetStage = Field(description="the labelled texts, each with one label")
    pretrained: File | HubModel = Field(
        description="folder in the layout of the Hugging Face hub, weights as safetensors; or a model there"
    )
    settings: TransformerSettings = TransformerSettings()
    seed: int = Field(0, ge=0, description="seed of the head, of dropout and of the batches")

    @model_validator(mode="after")
    def _has_one_label_a_text(self) -> TransformerClassifier:
        check_one_label(self.dataset.task, "a comparison with transformers")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short label for logs: what differs from other stages of this kind."""
        return (origin_of(self.pretrained), *self.dataset.details, f"seed {self.seed}")

    def build(self, work: Work) -> None:
        """Fine-tune, and predict validation and test texts."""
        from ulmfit.evaluation.transformer import build

        build(self, work)


class TransformerModel(Settings):
    """A row of the table: which transformer is compared, under which name, and how it is fine-tuned."""

    name: str = Field(min_length=1, description="name in tables, such as German BERT")
    pretrained: File | HubModel = Field(description="as for TransformerClassifier")
    settings: TransformerSettings = TransformerSettings()

    @property
    def origin(self) -> str:
        """Where its weights are from, for the reader of the table."""
        return origin_of(self.pretrained)

    def classifier(self, dataset: DatasetStage, seed: int) -> TransformerClassifier:
        """Return the stage that fine-tunes it on `dataset`."""
        return TransformerClassifier(
            dataset=dataset, pretrained=self.pretrained, settings=self.settings, seed=seed
        )
