"""Writes language models in the layouts of other programs, for tests."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import LinearDecoder, SequentialRNN
from torch import Tensor

VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 50, 12, 20, 3


def fastai_model(vocabulary: int = VOCABULARY, seed: int = 5, layers: int = LAYERS) -> SequentialRNN:
    """Return a language model of the installed fastai, with random weights and biases."""
    torch.manual_seed(seed)
    encoder = AWD_LSTM(vocabulary, EMBEDDING, HIDDEN, layers, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    model = SequentialRNN(encoder, LinearDecoder(vocabulary, EMBEDDING, 0, tie_encoder=encoder.encoder))
    torch.nn.init.normal_(model[1].decoder.bias)
    model.reset()
    return model.eval()


def as_fastai_v1(state: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return the names of fastai v1: with the weight of the last drop beside the raw one."""
    renamed = OrderedDict(state)
    for name in list(renamed):
        if name.endswith("weight_hh_l0_raw"):
            alias = name.replace("weight_hh_l0_raw", "module.weight_hh_l0")
            renamed[alias] = torch.nn.functional.dropout(renamed[name], 0.5)
    return renamed


def as_fastai_v07(state: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return the names of fastai 0.7, whose decoder has no bias."""
    renamed: OrderedDict[str, Tensor] = OrderedDict()
    for name, tensor in state.items():
        old = name.replace("encoder_dp.emb", "encoder_with_dropout.embed")
        renamed[old.replace("weight_hh_l0_raw", "module.weight_hh_l0_raw")] = tensor
    del renamed["1.decoder.bias"]
    return renamed


def qrnn_state(
    *, layers: int = LAYERS, window: int = 2, early: bool = False, seed: int = 3
) -> OrderedDict[str, Tensor]:
    """Return a state with fastai v1's names of a QRNN language model: `early` ones have no `layers.0.`."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    embedding = random(VOCABULARY, EMBEDDING)
    state = OrderedDict({"0.encoder.weight": embedding, "0.encoder_dp.emb.weight": embedding.clone()})
    for layer in range(layers):
        inputs = window * EMBEDDING if layer == 0 else HIDDEN
        units = HIDDEN if layer < layers - 1 else EMBEDDING
        linear = f"0.rnns.{layer}.{'' if early else 'layers.0.'}linear"
        state[f"{linear}.weight_raw"] = random(3 * units, inputs)
        state[f"{linear}.module.weight"] = random(3 * units, inputs)
        state[f"{linear}.module.bias"] = random(3 * units)
    state["1.decoder.weight"] = embedding.clone()
    state["1.decoder.bias"] = random(VOCABULARY)
    return state


def fastai_v1_qrnn_logits(state: dict[str, Tensor], ids: np.ndarray, window: int = 2) -> np.ndarray:
    """Return logits (T, V) of one text by the definition of fastai v1's QRNN layer, a step at a time.

    A layer multiplies [x_t, x_{t-1}] (window 2) or x_t with its weight; the thirds of the result are z, f and
    o; c_t = f z + (1 - f) c_{t-1} with z = tanh(z), f = sigmoid(f); its output is sigmoid(o) c_t. Before the
    first token, x and c are zero.
    """
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}
    outputs = weights["0.encoder.weight"][ids]
    layer = 0
    while (linear := _linear(weights, layer)) is not None:
        weight, bias = weights[f"{linear}.weight_raw"], weights[f"{linear}.module.bias"]
        cell, previous = np.zeros(len(bias) // 3), np.zeros(outputs.shape[1])
        produced = []
        for inputs in outputs:
            source = np.concatenate([inputs, previous]) if layer == 0 and window == 2 else inputs
            z, f, o = np.split(weight @ source + bias, 3)
            gate = _sigmoid(f)
            cell = gate * np.tanh(z) + (1 - gate) * cell
            produced.append(_sigmoid(o) * cell)
            previous = inputs
        outputs = np.stack(produced)
        layer += 1
    return outputs @ weights["1.decoder.weight"].T + weights["1.decoder.bias"]


def _linear(weights: dict[str, np.ndarray], layer: int) -> str | None:
    for between in ("", "layers.0."):
        if f"0.rnns.{layer}.{between}linear.weight_raw" in weights:
            return f"0.rnns.{layer}.{between}linear"
    return None


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
