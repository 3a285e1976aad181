"""Reads language models that other programs trained: fastai's AWD_LSTM and AWD_QRNN, and MultiFiT's.

Nothing in a file is run: safetensors holds tensors only, and `.pth` files are read with torch's own
restricted unpickler. The layouts differ in names, never in what the numbers mean:

    embedding       0.encoder.weight
      aliases       0.encoder_dp.emb.weight (v1, v2), 0.encoder_with_dropout.embed.weight (v0.7)
    decoder         1.decoder.bias (v0.7 has none: zeros), alias 1.decoder.weight
    LSTM layer N    0.rnns.N.module.{weight_ih_l0, bias_ih_l0, bias_hh_l0}
      dropped       0.rnns.N.weight_hh_l0_raw (v1, v2), 0.rnns.N.module.weight_hh_l0_raw (v0.7)
      alias         0.rnns.N.module.weight_hh_l0: the dropped weight as it was after the last drop
    QRNN layer N    0.rnns.N.layers.0.linear.module.bias (late v1), 0.rnns.N.linear.module.bias (early
                    v1, some of MultiFiT's)
      dropped       ….linear.weight_raw (v1), ….linear.module.weight_raw (v0.7)
      alias         ….linear.module.weight

Rows of an LSTM's weights are torch's input, forget, cell and output gate in all of them. Rows of a QRNN's
weight are fastai v1's: candidate z, gate i, output gate o with c = i z + (1 - i) c', so that i is one minus
the paper's forget gate; the columns of the first layer are the current token's inputs, then the previous
one's. `qrnn.WeightDropQRNN` keeps all of that, so rows and columns stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import Architecture, Dropouts
from ulmfit.language_model.torch_file import (
    IN_OPTIMIZER_STATES,
    check_torch_file,
    more_than_tensors,
    unreadable,
)
from ulmfit.pipeline.errors import InputError
from ulmfit.training.weights import load_weights, read_weights

EMBEDDING, BIAS = "0.encoder.weight", "1.decoder.bias"
EMBEDDING_ALIASES = ("0.encoder_dp.emb.weight", "0.encoder_with_dropout.embed.weight", "1.decoder.weight")
LSTM_RAW, QRNN_RAW = "0.rnns.{}.weight_hh_l0_raw", "0.rnns.{}.layers.0.linear.weight_raw"

_LSTM = re.compile(r"0\.rnns\.(\d+)\.(?:module\.)?(weight_ih_l0|bias_ih_l0|bias_hh_l0|weight_hh_l0(?:_raw)?)")
_QRNN = re.compile(r"0\.rnns\.(\d+)\.(?:layers\.0\.)?linear\.(?:module\.)?(weight_raw|weight|bias)")
_GLOBAL = re.compile(r"GLOBAL (\S+)")

MOST_TENSORS = 1_000
LARGEST_GROWTH = 16
"""Times the bytes of a file that its numbers may take in fp32; tensors that share numbers count once each."""
FLOATING_POINT = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class _Ignored:
    """Takes the place of objects in an optimizer's state, which is not needed; it keeps nothing."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_foreign_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of a `.pth` file in torch's zip or legacy format, in fp32.

    A `.pth` file may hold the state of a model, or fastai's {'model': ..., 'opt': ...}. Raises InputError
    when it holds anything but tensors and numbers.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: there is no such file")
    if path.suffix.lower() == ".safetensors":
        state: Any = read_weights(path)
    else:
        state = _load_torch_file(path)
    if isinstance(state, Mapping) and isinstance(state.get("model"), Mapping):
        state = state["model"]
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise InputError(f"weights {path}: expected named tensors, the state of a language model")
    if len(state) > MOST_TENSORS:
        raise InputError(f"weights {path} hold {len(state):,} tensors: no model of this kind has as many")
    for name, tensor in state.items():
        _check_tensor(name, tensor, path)
    numbers = sum(tensor.numel() for tensor in state.values())
    if 4 * numbers > LARGEST_GROWTH * path.stat().st_size:
        raise InputError(f"weights {path} claim {numbers:,} numbers in {path.stat().st_size:,} bytes")
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"weights {path}: {name} holds numbers that are not finite")
    return {name: tensor.float() for name, tensor in state.items()}


def foreign_language_model(state: Mapping[str, Tensor], source: str) -> tuple[Architecture, LanguageModel]:
    """Return the size and the model that `state` holds in one of the layouts above; sizes are read from it.

    Raises InputError when it is no language model of these kinds, or a shape does not fit.
    """
    tensors = _renamed(state, source)
    architecture = _architecture(tensors, source)
    _check_shapes(tensors, architecture, source)
    model = LanguageModel(len(tensors[EMBEDDING]), architecture, Dropouts(multiplier=0))
    load_weights(model, tensors, source)
    return architecture, model


def _check_shapes(tensors: Mapping[str, Tensor], architecture: Architecture, source: str) -> None:
    """Compare names and shapes with a model without memory: a real one may need more than the file has."""
    with torch.device("meta"):
        model = LanguageModel(len(tensors[EMBEDDING]), architecture, Dropouts(multiplier=0))
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() - set(EMBEDDING_ALIASES)):
        if name not in tensors:
            raise InputError(f"{source} has no weights for {name}")
        if tuple(tensors[name].shape) != expected[name]:
            given = tuple(tensors[name].shape)
            raise InputError(f"{source}: {name} has shape {given}, the model's is {expected[name]}")


def _load_torch_file(path: Path) -> Any:
    is_zip = check_torch_file(path)
    ignored: list[Any] = [(_Ignored, name) for name in IN_OPTIMIZER_STATES]
    try:
        with torch.serialization.safe_globals(ignored):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # any error here is caused by a damaged or hostile file
        named = _GLOBAL.search(str(error))
        raise (more_than_tensors(path, named[1]) if named else unreadable(path, error)) from error


def _check_tensor(name: str, tensor: Tensor, path: Path) -> None:
    """Raise InputError for anything but plain numbers that are in the file; looks at none of them."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if tensor.dtype not in FLOATING_POINT or not plain:
        raise InputError(
            f"weights {path}: {name} is of type {tensor.dtype}, {tensor.layout}, on {tensor.device}: "
            f"expected plain floating point numbers"
        )
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > stored or stored > path.stat().st_size:
        raise InputError(
            f"weights {path}: {name} has shape {tuple(tensor.shape)}, but fewer numbers than that"
        )


def _renamed(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the tensors under our names; aliases are left out, those that have to be equal are compared."""
    if EMBEDDING not in state:
        raise InputError(f"{source} {_what_else(state)}")
    shape = tuple(state[EMBEDDING].shape)
    if len(shape) != 2 or shape[0] < 2 or not shape[1]:
        raise InputError(f"{source}: {EMBEDDING} has shape {shape}: expected (pieces, units)")
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in EMBEDDING_ALIASES:
            _check_tied(name, tensor, state[EMBEDDING], source)
        elif (own := _own_name(name, source)) is not None:
            if own in tensors:
                raise InputError(f"{source} has {own} twice, under names of two versions of fastai")
            tensors[own] = tensor
    tensors.setdefault(BIAS, torch.zeros(len(state[EMBEDDING])))
    return tensors


def _own_name(name: str, source: str) -> str | None:
    """Return our name of a tensor; None for the alias of a weight after its last drop."""
    if name in (EMBEDDING, BIAS):
        return name
    if match := _LSTM.fullmatch(name):
        layer, kind = match.groups()
        if kind == "weight_hh_l0_raw":
            return LSTM_RAW.format(layer)
        return None if kind == "weight_hh_l0" else f"0.rnns.{layer}.module.{kind}"
    if match := _QRNN.fullmatch(name):
        layer, kind = match.groups()
        if kind == "weight_raw":
            return QRNN_RAW.format(layer)
        return None if kind == "weight" else f"0.rnns.{layer}.layers.0.linear.module.bias"
    if name.endswith("_reverse"):
        raise InputError(f"{source} is bidirectional ({name}): expected a model that reads in one direction")
    raise InputError(f"{source} has weights that no AWD-LSTM or QRNN language model has: {name}")


def _check_tied(name: str, tensor: Tensor, embedding: Tensor, source: str) -> None:
    if tensor.shape != embedding.shape:
        given, expected = tuple(tensor.shape), tuple(embedding.shape)
        raise InputError(f"{source}: {name} has shape {given}, the embedding, which it shares, {expected}")
    if not torch.equal(tensor, embedding):
        difference = (tensor - embedding).abs().max().item()
        raise InputError(
            f"{source}: {name} differs from the embedding by up to {difference:.3g}: "
            f"expected a model in which the two are one tensor"
        )


def _what_else(state: Mapping[str, Tensor]) -> str:
    if "0.module.encoder.weight" in state:
        return "holds a classifier: expected its language model (MultiFiT: lm_best.pth)"
    if "encoder.weight" in state:
        return "holds an encoder alone: expected the whole language model (MultiFiT: lm_best.pth)"
    names = ", ".join(sorted(state)[:3]) or "none"
    return f"has no {EMBEDDING}: expected fastai's names of a language model, found {names}"


def _architecture(tensors: Mapping[str, Tensor], source: str) -> Architecture:
    """Read the size from the embedding and the dropped weights of the layers."""
    kinds = {
        "lstm": [name for name in tensors if name.endswith("weight_hh_l0_raw")],
        "qrnn": [name for name in tensors if name.endswith("linear.weight_raw")],
    }
    if bool(kinds["lstm"]) == bool(kinds["qrnn"]):
        found = "both" if kinds["lstm"] else "none"
        raise InputError(f"{source}: expected layers of an LSTM or of a QRNN, found {found}")
    size = tensors[EMBEDDING].shape[1]
    if kinds["lstm"]:
        units = _units(tensors, LSTM_RAW, 4, source)
        return Architecture(kind="lstm", embedding_size=size, hidden_size=units, layers=len(kinds["lstm"]))
    units = _units(tensors, QRNN_RAW, 3, source)
    columns = tensors[QRNN_RAW.format(0)].shape[1]
    if columns not in (size, 2 * size):
        raise InputError(
            f"{source}: {QRNN_RAW.format(0)} has {columns} columns: expected {size} (window 1) or {2 * size} "
            f"(window 2)"
        )
    return Architecture(
        kind="qrnn",
        embedding_size=size,
        hidden_size=units,
        layers=len(kinds["qrnn"]),
        window=1 if columns == size else 2,
    )


def _units(tensors: Mapping[str, Tensor], name: str, gates: int, source: str) -> int:
    """Return the units of the lowest layer, whose dropped weight has one row per gate and unit."""
    weight = tensors.get(name.format(0))
    if weight is None:
        raise InputError(f"{source} has no weights for {name.format(0)}: its layers have to count from 0")
    if weight.dim() != 2 or not len(weight) or len(weight) % gates:
        raise InputError(
            f"{source}: {name.format(0)} has shape {tuple(weight.shape)}: expected {gates} rows a unit"
        )
    return len(weight) // gates
