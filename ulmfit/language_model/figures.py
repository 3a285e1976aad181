"""What a record says of language models: how they were trained, and how well they predict texts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ulmfit.corpus.rare_words import RareWordsReplaced
from ulmfit.language_model.stages import Direction, FineTune, Pretrain
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.manifest import Manifest
from ulmfit.pipeline.record_part import RecordPart, Split
from ulmfit.tokens.unknown import too_many_unknown, unknown_share
from ulmfit.training.precision import Precision


class Named(RecordPart):
    """Which language model some figures are of."""

    name: str = Field(description="what the reader sees, such as 'pretrained' or 'fine-tuned, seed 0'")
    direction: Direction = Field(description="reading direction")


class ScoredSplit(Named):
    """Which split of its texts a language model was scored on."""

    split: Split = Field(description="the split that was scored")


class Perplexities(RecordPart):
    """How well a model predicts texts, every document scored from its own beginning."""

    documents: int = Field(ge=0, description="documents scored")
    tokens: int = Field(ge=0, description="tokens scored")
    words: int = Field(ge=0, description="whitespace words of the raw text")
    characters: int = Field(ge=0, description="characters of the raw text")
    unknown_tokens: int = Field(ge=0, description="unknown tokens among those scored")
    loss: float = Field(ge=0, description="mean negative log-likelihood, nats per token")
    token_perplexity: float | None = Field(ge=1, description="exp(loss); None when it is beyond a float")
    word_perplexity: float | None = Field(ge=1, description="exp(loss x tokens / words); None as above")
    bits_per_character: float = Field(description="loss x tokens / characters / ln 2")
    scoring_precision: Precision | None = Field(
        None, description="precision of the evaluation; None if unknown"
    )

    @field_validator("token_perplexity", "word_perplexity", mode="before")
    @classmethod
    def _infinity_is_none(cls, value: Any) -> Any:
        return None if value == math.inf else value

    @model_validator(mode="after")
    def _agrees_with_loss(self) -> Self:
        nats = self.loss * self.tokens
        figures = {
            "token_perplexity": (self.token_perplexity, self.loss),
            "word_perplexity": (self.word_perplexity, nats / max(self.words, 1)),
        }
        for name, (perplexity, exponent) in figures.items():
            if perplexity is not None and not math.isclose(math.log(perplexity), exponent, abs_tol=1e-6):
                raise ValueError(f"{name} does not agree with loss")
        bits = nats / max(self.characters, 1) / math.log(2)
        if not math.isclose(self.bits_per_character, bits, rel_tol=1e-6, abs_tol=1e-9):
            raise ValueError("bits_per_character does not agree with loss")
        return self

    @property
    def has_many_unknown(self) -> bool:
        """Whether unknown tokens make the figures look too good."""
        return too_many_unknown(self.unknown_tokens, self.words)

    @property
    def unknown_share(self) -> float:
        """The unknown tokens per word of the raw text."""
        return unknown_share(self.unknown_tokens, self.words)


class TrainedModel(RecordPart):
    """What was trained, and on what terms; every field is None where it is not known."""

    kind: Literal["lstm", "qrnn"] | None = Field(None, description="kind of its recurrent layers")
    layers: int | None = Field(None, ge=1)
    hidden_size: int | None = Field(None, ge=1, description="units of the layers before the last")
    embedding_size: int | None = Field(None, ge=1, description="units of the embedding and the last layer")
    vocabulary_size: int | None = Field(None, ge=1)
    precision: Precision | None = Field(None, description="of the matrix products")
    engine: str | None = Field(None, description="what computed the recurrence: fast or plain")
    skipped_steps: int | None = Field(None, ge=0, description="steps left out, their gradients not finite")
    matched_vocabulary: float | None = Field(
        None, ge=0, le=1, description="share of the ids that the model it began with knew; None: all"
    )
    matched_tokens: float | None = Field(
        None, ge=0, le=1, description="share of the training tokens that have one of these; None: all"
    )


class LanguageModelResult(Perplexities, ScoredSplit):
    """A language model's quality on one split, and what its training cost."""

    parameters: int | None = Field(None, ge=0, description="trainable numbers of the model; None if unknown")
    training_tokens: int | None = Field(
        None, ge=0, description="tokens trained on, all epochs; None if unknown"
    )
    seconds: float | None = Field(None, ge=0, description="training time in seconds; None if unknown")
    tokens_per_second: float | None = Field(None, ge=0, description="training speed; None if unknown")
    rare_words_replaced: bool = Field(False, description="whether rare words of the texts are marks")
    trained: TrainedModel | None = Field(None, description="None if unknown")

    @property
    def comparable(self) -> bool:
        """Whether the figures can be compared with those of other tokenizers: not if many words were
        replaced."""
        return not self.has_many_unknown and not self.rare_words_replaced


def read_results(
    name: str, stage: Pretrain | FineTune, folder: Path, manifest: Manifest
) -> list[LanguageModelResult]:
    """Return the figures of a trained language model, one entry per split that it was scored on.

    `folder` and `manifest` are those of the finished stage; `name` is what the reader of the record sees.
    """
    metrics = read_json(folder / "metrics.json")
    measures = manifest["measures"]
    trained = _trained_model(read_json(folder / "model.json"), metrics, manifest)
    return [
        LanguageModelResult(
            name=name,
            direction=stage.direction,
            split=split,
            **metrics[split],
            parameters=metrics["parameters"],
            training_tokens=metrics["training_tokens"] * metrics["epochs"],
            seconds=measures["training_seconds"],
            tokens_per_second=measures["tokens_per_second"],
            rare_words_replaced=isinstance(stage.tokens.documents, RareWordsReplaced),
            trained=trained,
        )
        for split in ("valid", "test")
        if split in metrics
    ]


def _trained_model(description: dict[str, Any], metrics: dict[str, Any], manifest: Manifest) -> TrainedModel:
    architecture, machine = description["architecture"], manifest.get("machine", {})
    return TrainedModel(
        kind=architecture.get("kind", "lstm"),
        layers=architecture["layers"],
        hidden_size=architecture["hidden_size"],
        embedding_size=architecture["embedding_size"],
        vocabulary_size=description["vocabulary_size"],
        precision={"float32": "fp32", "bfloat16": "bf16"}.get(machine.get("dtype", "")),
        engine=machine.get("engine"),
        skipped_steps=int(manifest["measures"].get("skipped_updates", 0)),
        matched_vocabulary=metrics.get("vocabulary", {}).get("matched_share"),
        matched_tokens=metrics.get("vocabulary", {}).get("matched_token_share"),
    )


class PolEvalFigures(RecordPart):
    """Word perplexity as PolEval 2018 (task 3) counted it, rare words replaced; not the word perplexity."""

    poleval_2018_word_perplexity: float | None = Field(
        ge=1, description="exp(nats / (words + sentences)); None when it is beyond a float"
    )
    nats: float = Field(ge=0, description="summed over tokens and ends of sentences")
    sentences: int = Field(ge=0, description="documents of the test split, each with an end that is scored")
    words: int = Field(ge=1, description="words between white space, the replaced ones included")
    replaced_words: int = Field(ge=0, description="of these, those that a mark took the place of")
    min_count: int = Field(ge=2, description="times that a word stands in the training texts to be kept")
    scoring_precision: Precision

    @field_validator("poleval_2018_word_perplexity", mode="before")
    @classmethod
    def _infinity_is_none(cls, value: Any) -> Any:
        return None if value == math.inf else value


class PolEvalResult(PolEvalFigures, Named):
    """The same with the language model that it is of."""
