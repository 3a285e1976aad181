"""Our models in stock fastai: texts as ids for a DataBlock, and modules that a stock `Learner` trains.

Shapes: B texts or streams of a batch, T tokens, V pieces, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch
from fastai.basics import Callback, Learner, TitledStr, Transform
from fastai.callback.rnn import RNNRegularizer, rnn_cbs
from fastai.data.block import TransformBlock
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from fastai.text.data import LMDataLoader, SortedDL, TensorText, pad_input
from torch import Tensor, nn

from ulmfit.classifier.model import TextClassifier as ClassifierNetwork
from ulmfit.classifier.model import layer_groups as classifier_groups
from ulmfit.language_model.encoder import PAD_ID
from ulmfit.language_model.model import LanguageModel as LanguageNetwork
from ulmfit.language_model.model import Outputs
from ulmfit.language_model.model import layer_groups as language_model_groups
from ulmfit.language_model.settings import Direction
from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.tokenizer import Tokenizer

MOMENTUM = (0.8, 0.7, 0.8)
"""As the text learners of fastai have it."""


class TextToIds(Transform):
    """A text -> the ids that a model reads of it; ids -> the text in normal form.

    It stands in a DataBlock where fastai has a tokenizer and `Numericalize`; `vocab` and `read_direction`
    are found by DataLoaders.
    """

    def __init__(
        self, tokenizer: Tokenizer, read: Callable[[str], numpy.ndarray], direction: Direction
    ) -> None:
        super().__init__()
        self.tokenizer, self.read, self.read_direction = tokenizer, read, direction
        self.vocab = tokenizer.vocabulary

    def encodes(self, text: str) -> TensorText:
        return TensorText(torch.from_numpy(self.read(text).astype(numpy.int64)))

    def decodes(self, ids: TensorText) -> TitledStr:
        return TitledStr(self.tokenizer.decode([one for one in ids.tolist() if one != PAD_ID]))


def text_block(
    tokenizer: Tokenizer,
    read: Callable[[str], numpy.ndarray],
    direction: Direction,
    *,
    language_model: bool = False,
    seq_len: int = 72,
) -> TransformBlock:
    """Return the block of a DataBlock that makes ids of texts: streams of them, or padded batches."""
    ids = TextToIds(tokenizer, read, direction)
    if language_model:
        return TransformBlock(ids, dl_type=LMDataLoader, dls_kwargs={"seq_len": seq_len})
    return TransformBlock(ids, dl_type=SortedDL, dls_kwargs={"before_batch": pad_input})


class StockLanguageModel(nn.Module):
    """A language model as fastai's callbacks know it: logits (B, T, V), raw and dropped outputs (B, T, E)."""

    def __init__(self, network: LanguageNetwork, origin: Any) -> None:
        super().__init__()
        self.network, self.origin = network, origin

    def reset(self) -> None:
        """Begin new texts; `ModelResetter` calls it."""
        self.network.reset()

    def forward(self, ids: Tensor) -> Outputs:
        return self.network(ids.as_subclass(Tensor))


class StockClassifier(nn.Module):
    """A classifier of ids (B, T) alone, padded wherever fastai pads; gives outputs (B, K)."""

    def __init__(self, network: ClassifierNetwork, origin: Any) -> None:
        super().__init__()
        self.network, self.origin = network, origin

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids.as_subclass(Tensor)
        is_padding = ids == PAD_ID
        lengths = (~is_padding).sum(1)
        order = lengths.argsort(descending=True, stable=True)
        # Padding goes to the end, where our encoder expects it.
        places = is_padding.int().argsort(dim=1, stable=True)
        outputs = self.network(ids.gather(1, places)[order], lengths[order])
        return outputs[order.argsort()]


class ClassifierPenalty(Callback):
    """Adds AR and TAR to a classifier's loss where fastai's `RNNRegularizer` would.

    fastai's own callback wants the outputs of all tokens, which our classifier does not keep.
    """

    order, run_valid = RNNRegularizer.order, False

    def after_loss(self) -> None:
        penalty = self.learn.model.network.encoder.take_penalty()
        if self.learn.training and penalty is not None:
            self.learn.loss_grad = self.learn.loss_grad + penalty


def language_model_learner(
    dls: Any, model: StockLanguageModel, tokenizer: Tokenizer, *, alpha: float, beta: float, **options: Any
) -> Learner:
    """Return a stock Learner of a language model, with fastai's callbacks for AR (alpha) and TAR (beta)."""
    _, direction = model.origin
    _check_texts(dls, tokenizer, direction)
    return Learner(
        dls,
        model,
        **{
            "loss_func": CrossEntropyLossFlat(),
            "splitter": lambda stock: language_model_groups(stock.network),
            "moms": MOMENTUM,
            **options,
            "cbs": [*rnn_cbs(alpha, beta), *_listed(options.get("cbs"))],
        },
    )


def classifier_learner(
    dls: Any, model: StockClassifier, tokenizer: Tokenizer, labels: Sequence[str], **options: Any
) -> Learner:
    """Return a stock Learner of a classifier; its loss is the one that the DataLoaders name."""
    description, _ = model.origin
    _check_texts(dls, tokenizer, description.members[0].direction)
    if (found := labels_of(dls)) != list(labels):
        raise InputError(
            f"the labels of the DataLoaders are {_some(found)}, those of the classifier {_some(labels)}: "
            f"give the block of labels vocab=classifier.labels"
        )
    if (several := has_several_labels(dls)) != (description.task == "multi_label"):
        raise InputError(
            "the DataLoaders have several labels per text, the classifier has one: expected CategoryBlock"
            if several
            else "the DataLoaders have one label per text, the classifier has several: expected "
            "MultiCategoryBlock"
        )
    return Learner(
        dls,
        model,
        **{
            "splitter": lambda stock: classifier_groups(stock.network),
            "moms": MOMENTUM,
            **options,
            "cbs": [ClassifierPenalty(), *_listed(options.get("cbs"))],
        },
    )


def labels_of(dls: Any) -> list[str]:
    """Return the labels of DataLoaders of texts and labels; InputError where they have none."""
    vocab = getattr(dls, "vocab", None)
    parts = list(vocab) if vocab is not None else []
    if len(parts) != 2 or isinstance(parts[0], str):
        raise InputError("the DataLoaders have no labels: expected a block of texts and one of categories")
    return [str(label) for label in parts[1]]


def has_several_labels(dls: Any) -> bool:
    """Return whether a text of the DataLoaders may have several labels (`MultiCategoryBlock`)."""
    return isinstance(getattr(dls.train_ds, "loss_func", None), BCEWithLogitsLossFlat)


def trained_module(learn: Any, kind: type) -> Any:
    """Return the module of a learner; InputError where it is none of this kind."""
    if not isinstance(learn.model, kind):
        raise InputError(
            f"the learner trains a {type(learn.model).__name__}: expected one that learner(dls) made"
        )
    return learn.model


def _check_texts(dls: Any, tokenizer: Tokenizer, direction: Direction) -> None:
    """Raise InputError for ids of another vocabulary, or of texts that are read in another direction."""
    vocab = getattr(dls, "vocab", None)
    parts = list(vocab) if vocab is not None else []
    pieces = list(parts[0]) if parts and not isinstance(parts[0], str) else parts
    if pieces != tokenizer.vocabulary:
        raise InputError(
            f"the DataLoaders have a vocabulary of {len(pieces):,} pieces that is not the model's "
            f"({tokenizer.size:,}): make them with text_block() of the bundle"
        )
    # Ids that were not made by `text_block` do not tell.
    if (found := getattr(dls, "read_direction", direction)) != direction:
        raise InputError(
            f"the texts of the DataLoaders are read {found}, the model reads {direction}: give both "
            f"text_block and learner direction={direction!r}"
        )


def _listed(callbacks: Any) -> list[Any]:
    return (
        list(callbacks) if isinstance(callbacks, list | tuple) else [] if callbacks is None else [callbacks]
    )


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")
