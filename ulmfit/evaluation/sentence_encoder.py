"""A sentence encoder in a folder as sentence-transformers writes it: loaded without running code of it.

The folder's `modules.json` names Python classes. None of them is imported: a transformer, pooling, a dense
layer and normalization are known here, and everything else is refused. Shapes: N texts, D numbers per vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ulmfit.evaluation.transformer_model import (
    DOWNLOADED,
    WEIGHTS,
    LoadedTransformer,
    download,
    load_encoder,
    positions_of,
)
from ulmfit.evaluation.transformer_stages import HubModel
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, sha256_of
from ulmfit.training.distribution import choose_device

MODULES, SETTINGS = "modules.json", "sentence_bert_config.json"
PARTS = (
    MODULES,
    SETTINGS,
    *(f"*_{kind}/{name}" for kind in ("Pooling", "Dense", "Normalize") for name in ("config.json", WEIGHTS)),
    *(f"*_Transformer/{name}" for name in (SETTINGS, *DOWNLOADED)),
)
LONGEST = 512
"""Pieces of a text that are read where neither folder nor model says."""
BATCH = 64
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Tanh": torch.tanh,
    "Identity": lambda values: values,
    "ReLU": functional.relu,
    "GELU": functional.gelu,
}
MODES = ("cls", "mean", "max")

Layer = Callable[[Tensor], Tensor]
Pooling = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class SentenceEncoder:
    """What makes a vector of a text."""

    transformer: LoadedTransformer
    maximum: int
    """Pieces of a text that are read."""
    lower_case: bool
    pooling: Pooling
    """Maps outputs (B, T, H) and mask (B, T) to (B, H)."""
    layers: tuple[Layer, ...]
    weights_hash: str
    """SHA-256 of the transformer's weights."""

    @property
    def description(self) -> dict[str, Any]:
        """What was loaded, for the stage's folder."""
        return {**self.transformer.description, "maximum_tokens": self.maximum}

    def encode(self, texts: Sequence[str], advance: Callable[[int], object]) -> np.ndarray:
        """Return the vectors (N, D) of texts; `advance` hears of every batch."""
        if not texts:
            return self._batch([np.zeros(1, dtype=np.int64)])[:0]
        chosen = [text.lower() for text in texts] if self.lower_case else texts
        encoded = self.transformer.encode(chosen, self.maximum)
        order = np.argsort(-encoded.lengths, kind="stable")
        vectors: list[np.ndarray] = [np.empty(0)] * len(texts)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            for row, vector in zip(rows, self._batch([encoded.documents[row] for row in rows]), strict=True):
                vectors[row] = vector
            advance(len(rows))
        return np.stack(vectors)

    @torch.no_grad()
    def _batch(self, documents: Sequence[np.ndarray]) -> np.ndarray:
        model, padding = self.transformer.model, self.transformer.tokenizer.pad_token_id
        device = next(model.parameters()).device
        longest = max(map(len, documents))
        ids = torch.full((len(documents), longest), padding, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, document in enumerate(documents):
            ids[row, : len(document)] = torch.from_numpy(document)
            mask[row, : len(document)] = 1
        ids, mask = ids.to(device), mask.to(device)
        vectors = self.pooling(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
        for layer in self.layers:
            vectors = layer(vectors)
        return vectors.float().cpu().numpy()


def download_encoder(model: HubModel) -> Path:
    """Return the folder of a sentence encoder of the hub; only the files that are read here are taken."""
    return download(model, PARTS)


def load_sentence_encoder(folder: Path, device: str = "auto") -> SentenceEncoder:
    """Load a sentence encoder; a folder without `modules.json` is a transformer whose outputs are averaged.

    Raises InputError, one line, for everything that is wrong with the folder.
    """
    where = choose_device(device)
    modules = _modules(folder)
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Dense", "Normalize"}:
        raise InputError(
            f"{folder / MODULES} lists {', '.join(kinds)}: expected Transformer, Pooling, and then Dense and "
            f"Normalize only"
        )
    home = modules[0][1]
    transformer = load_encoder(home)
    transformer.model.to(where).eval()
    settings = _fields(home / SETTINGS) if (home / SETTINGS).exists() else {}
    maximum = settings.get("max_seq_length") or LONGEST
    if not isinstance(maximum, int) or maximum < 3:
        raise InputError(f"{home / SETTINGS}: max_seq_length is {maximum!r}: expected a whole number above 2")
    # A model without a folder for pooling is averaged.
    pooling = _pooling(modules[1][1]) if (folder / MODULES).exists() else _mean
    layers = tuple(
        _dense(path, where) if kind == "Dense" else (lambda values: functional.normalize(values, dim=1))
        for kind, path in modules[2:]
    )
    weights = home / WEIGHTS
    return SentenceEncoder(
        transformer,
        min(maximum, positions_of(transformer.model) or maximum),
        bool(settings.get("do_lower_case", False)),
        pooling,
        layers,
        sha256_of(weights) if weights.is_file() else "",
    )


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Return kind and folder of each module; kinds are the classes' names."""
    if not (folder / MODULES).exists():
        return [("Transformer", folder), ("Pooling", folder)]
    content = _json(folder / MODULES)
    try:
        entries = [(str(entry["type"]), str(entry["path"])) for entry in content]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / MODULES} is damaged: expected a list of modules with type and path"
        ) from error
    for kind, path in entries:
        if not kind.startswith("sentence_transformers."):
            raise InputError(
                f"{folder / MODULES} names the class {kind!r}, which would be code of the folder: expected "
                f"modules of sentence-transformers"
            )
        if Path(path).name != path and path:
            raise InputError(f"{folder / MODULES} names the folder {path!r}: expected one beside the file")
    return [(kind.rpartition(".")[2], folder / path) for kind, path in entries]


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged: copy the model again") from error


def _fields(path: Path) -> dict[str, Any]:
    content = _json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is damaged: expected a JSON object: copy the model again")
    return content


def _pooling(folder: Path) -> Pooling:
    content = _fields(folder / "config.json")
    chosen = [mode for mode in MODES if content.get("pooling_mode") == mode]
    chosen += [mode for mode in MODES if content.get(f"pooling_mode_{mode}_tokens")]
    chosen += ["cls"] if content.get("pooling_mode_cls_token") else []
    others = [name for name, value in content.items() if value is True and name.startswith("pooling_mode_")]
    if len(chosen) != 1 or len(others) > 1 or content.get("include_prompt") is False:
        raise InputError(
            f"{folder / 'config.json'} asks for a pooling that is not known here: expected one of "
            f"{', '.join(MODES)}, over all pieces"
        )
    return {"cls": _first, "mean": _mean, "max": _max}[chosen[0]]


def _first(outputs: Tensor, mask: Tensor) -> Tensor:
    return outputs[:, 0]


def _mean(outputs: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(2).to(outputs.dtype)
    return (outputs * weights).sum(1) / weights.sum(1).clamp_min(1e-9)


def _max(outputs: Tensor, mask: Tensor) -> Tensor:
    return outputs.masked_fill(mask.unsqueeze(2) == 0, -1e9).amax(1)


def _dense(folder: Path, device: torch.device) -> Layer:
    content, path = _fields(folder / "config.json"), folder / WEIGHTS
    name = str(content.get("activation_function", "")).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise InputError(
            f"{folder / 'config.json'} asks for the activation {name!r}: expected one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    try:
        layer = nn.Linear(
            int(content["in_features"]), int(content["out_features"]), bool(content.get("bias", True))
        )
        weights = {key.removeprefix("linear."): tensor for key, tensor in load_file(path).items()}
        layer.load_state_dict(weights)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{path} cannot be loaded ({reason}): expected the weights of a dense layer as safetensors"
        ) from error
    layer.to(device).requires_grad_(False)
    return lambda values: ACTIVATIONS[name](layer(values))
