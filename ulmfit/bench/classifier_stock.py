"""fastai's text classifier with the weights, documents and batch sizes of `ulmfit bench classifier`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy
import torch
from torch import Tensor

from ulmfit.bench.job import Sizes
from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.language_model.encoder import PAD_ID

LONGEST = 20
"""Chunks of a document that fastai pools: its `max_len` is 72 * 20."""


def stock_model(sizes: Sizes, labels: int, settings: ClassifierSettings) -> torch.nn.Module:
    """Return fastai's classifier with the dropouts of `settings`."""
    from fastai.text.models.awdlstm import AWD_LSTM
    from fastai.text.models.core import get_text_classifier

    drop, architecture = settings.dropouts.scaled(), sizes.architecture
    config = {
        "emb_sz": architecture.embedding_size,
        "n_hid": architecture.hidden_size,
        "n_layers": architecture.layers,
        "output_p": drop.output,
        "hidden_p": drop.hidden,
        "input_p": drop.input,
        "embed_p": drop.embedding,
        "weight_p": drop.weight,
    }
    return get_text_classifier(
        AWD_LSTM,
        sizes.vocabulary_size,
        labels,
        seq_len=sizes.bptt,
        config=config,
        lin_ftrs=[settings.head_units],
        ps=[settings.head_dropout],
        max_len=LONGEST * sizes.bptt,
    )


def load_our_weights(model: torch.nn.Module, ours: Mapping[str, Tensor]) -> None:
    """Copy the weights of our classifier into fastai's, whose linear layers have no bias.

    Raises ValueError for a bias that is not 0, and for a name that fastai's model does not have.
    """
    tensors = {}
    for name, tensor in ours.items():
        if name in ("head.layers.2.bias", "head.layers.6.bias"):
            if tensor.any():
                raise ValueError(f"fastai's head has no bias, but {name} is not 0")
            continue
        tensors[stock_name(name)] = tensor
    if unknown := model.load_state_dict(tensors, strict=False).unexpected_keys:
        raise ValueError(f"fastai's model has no {unknown[0]}")
    encoder: Any = model.get_submodule("0.module")
    encoder.reset()


def stock_name(name: str) -> str:
    """Return fastai's name of a tensor of our classifier."""
    if name.startswith("encoder."):
        return name.replace("encoder.", "0.", 1)
    _, _, number, rest = name.split(".", 3)
    block, place = divmod(int(number), 4)
    return f"1.layers.{block}.{place}.{rest}"


def stock_loader(
    documents: Sequence[numpy.ndarray],
    labels: Sequence[int],
    sizes: Sizes,
    batch_size: int,
    device: torch.device,
    *,
    shuffled: bool,
) -> Any:
    """Return fastai's SortedDL over documents that are tensors already, padded as its TextBlock pads."""
    from fastai.text.data import SortedDL, TensorText, pad_input_chunk

    items = [
        (TensorText(torch.from_numpy(document.astype(numpy.int64))), torch.tensor(label))
        for document, label in zip(documents, labels, strict=True)
    ]
    return SortedDL(
        items,
        shuffle=shuffled,
        bs=batch_size,
        res=[len(document) for document in documents],
        before_batch=partial(pad_input_chunk, pad_idx=PAD_ID, seq_len=sizes.bptt),
        device=device,
    )


def computed_tokens(ids: Tensor, bptt: int) -> int:
    """Return the tokens of a batch (B, T) that fastai's SentenceEncoder computes, padding included."""
    starts = range(0, ids.shape[1], bptt)
    rows = (ids[:, ::bptt] != PAD_ID).sum(dim=0).tolist()
    return sum(count * min(bptt, ids.shape[1] - start) for count, start in zip(rows, starts, strict=True))


def stock_learner(
    loaders: Sequence[Any],
    model: torch.nn.Module,
    sizes: Sizes,
    *,
    ar: float = 0.0,
    tar: float = 0.0,
    **options: Any,
) -> Any:
    """Return the learner that fastai's `text_classifier_learner` makes around `model`, with AR and TAR."""
    from fastai.data.core import DataLoaders
    from fastai.text.learner import TextLearner
    from fastai.text.models.awdlstm import awd_lstm_clas_split

    pair = DataLoaders(*loaders, device=loaders[0].device)
    pair.vocab = [[str(number) for number in range(sizes.vocabulary_size)], []]
    return TextLearner(pair, model, alpha=ar, beta=tar, splitter=awd_lstm_clas_split, **options)
