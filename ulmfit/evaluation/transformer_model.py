"""A pretrained transformer in a folder: checked, loaded without running code of it, and described.

Pickled weights are refused, and so is everything in a folder that would make transformers import or download
something. transformers itself is imported here only, and when it is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from ulmfit.evaluation.transformer_stages import HubModel
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json, sha256_of

CONFIG, WEIGHTS, SHARDS, CARD = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "README.md",
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
DESCRIBED = (CONFIG, SHARDS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
DOWNLOADED = (*DESCRIBED, *TOKENIZERS, "merges.txt", "model*.safetensors", CARD)
ATTENTION = (None, "eager", "sdpa")
"""The implementations that come with transformers; others are fetched from the hub, as code."""


@dataclass(frozen=True, eq=False)
class LoadedTransformer:
    """A pretrained model with a head for the labels, and its tokenizer."""

    model: Any
    tokenizer: Any
    description: dict[str, Any]
    """What was loaded: kind, parameters, the hash of every file, licence, weights that are new."""

    def encode(self, texts: Sequence[str], maximum: int) -> Encoded:
        """Return the ids of each text, special pieces included, cut to at most `maximum`."""
        options = {"verbose": False, "return_attention_mask": False, "return_token_type_ids": False}
        ids = self.tokenizer(list(texts), **options)["input_ids"]
        long = [index for index, one in enumerate(ids) if len(one) > maximum]
        unknown = sum(one.count(self.tokenizer.unk_token_id) for one in ids)
        total = sum(map(len, ids))
        if long:
            texts_cut = [texts[index] for index in long]
            cut = self.tokenizer(texts_cut, truncation=True, max_length=maximum, **options)["input_ids"]
            for index, one in zip(long, cut, strict=True):
                ids[index] = one
        documents = [numpy.array(one, dtype=numpy.int64) for one in ids]
        lengths = numpy.array([len(document) for document in documents])
        return Encoded(documents, lengths, cut=len(long), unknown_share=unknown / max(total, 1))


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as ids: int64 arrays, special pieces included."""

    documents: list[numpy.ndarray]
    lengths: numpy.ndarray
    cut: int
    """Texts that were longer than what is read."""
    unknown_share: float
    """Share of the pieces that the vocabulary does not hold."""


def load_transformer(folder: Path, labels: Sequence[str], maximum_tokens: int) -> LoadedTransformer:
    """Load model and tokenizer from a folder; the head is new where it was not trained for so many labels.

    The weights are fp32 on the CPU. New weights are drawn from torch's global generator. Raises InputError,
    one line, for everything that is wrong with the folder.
    """
    _check_files(folder)
    with _transformers() as library:
        config, tokenizer = _read_beginning(folder, library, num_labels=len(labels))
        model, report = _read_weights(
            folder, library.AutoModelForSequenceClassification, config, ignore_mismatched_sizes=True
        )
    new = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    _check_weights(folder, model, new)
    _check_vocabulary(folder, model, tokenizer)
    _check_length(folder, model, maximum_tokens)
    return LoadedTransformer(model, tokenizer, _description(folder, model, new))


def load_encoder(folder: Path) -> LoadedTransformer:
    """Load an encoder without a head, and its tokenizer, from a folder; otherwise as `load_transformer`."""
    _check_files(folder)
    with _transformers("encoders") as library:
        config, tokenizer = _read_beginning(folder, library)
        if config.is_encoder_decoder:
            raise InputError(f"{folder / CONFIG} is of a model with a decoder: expected an encoder alone")
        model, report = _read_weights(folder, library.AutoModel, config)
    lacking = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if lacking:
        raise InputError(f"{folder}: the weights do not fit {CONFIG}: {lacking[0]} is missing")
    _check_vocabulary(folder, model, tokenizer)
    return LoadedTransformer(model, tokenizer, _description(folder, model, ()))


def _read_beginning(folder: Path, library: Any, **options: Any) -> tuple[Any, Any]:
    """Return configuration and tokenizer; `options` are of the configuration."""
    config = _loaded(
        folder, CONFIG, lambda: library.AutoConfig.from_pretrained(folder, **_local(), **options)
    )
    _check_config(folder, config)
    tokenizer = _loaded(
        folder, "the tokenizer", lambda: library.AutoTokenizer.from_pretrained(folder, **_local())
    )
    return config, tokenizer


def _read_weights(folder: Path, kind: Any, config: Any, **options: Any) -> tuple[Any, Any]:
    """Return a model of `kind`, a class of transformers, in fp32, and what was missing in its file."""
    return _loaded(
        folder,
        "the weights",
        lambda: kind.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
            **_local(),
        ),
    )


def download(model: HubModel, parts: Sequence[str] = ()) -> Path:
    """Return the folder of a model of the hub, from the local cache or downloaded into it.

    Only description, tokenizer and safetensors are taken, and files of subfolders that match a pattern of
    `parts`. Raises InputError when it cannot be had.
    """
    with _transformers("encoders" if parts else "transformers"):
        import huggingface_hub

        try:
            return Path(
                huggingface_hub.snapshot_download(
                    model.name,
                    revision=model.revision,
                    allow_patterns=[*DOWNLOADED, *parts],
                    ignore_patterns=None if parts else ["*/*"],
                )
            )
        except Exception as error:
            # The library raises errors of its own, of its HTTP client and of the system.
            raise InputError(
                f"{model.name} at revision {model.revision[:12]} cannot be had from the Hugging Face hub "
                f"({_reason(error)}): check name, revision and network, or name a local copy with "
                f"pretrained=File(path=FOLDER)"
            ) from error


@contextmanager
def _transformers(extra: str = "transformers") -> Iterator[Any]:
    """Lend the library, quiet; InputError when it is not installed, which names the extra that has it.

    It would also import torchvision, which texts do not need and a torch without CUDA often cannot load:
    during the import torchvision is hidden.
    """
    hidden = "torchvision" not in sys.modules
    if hidden:
        sys.modules["torchvision"] = None  # type: ignore[assignment]
    try:
        import transformers
        from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401
        from transformers.utils import logging
    except ImportError as error:
        raise InputError(
            f"transformers cannot be imported ({_reason(error)}): pip install 'ulmfit[{extra}]'"
        ) from error
    finally:
        if hidden:
            del sys.modules["torchvision"]
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _local() -> dict[str, Any]:
    return {"local_files_only": True, "trust_remote_code": False}


def _loaded(folder: Path, what: str, load: Callable[[], Any]) -> Any:
    """Call `load`; whatever the library raises for a bad file becomes one line."""
    try:
        return load()
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(
            f"transformers cannot load {what} of {folder} ({_reason(error)}): expected a model in the layout "
            f"of the Hugging Face hub"
        ) from error


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected one with {CONFIG}, {WEIGHTS} and a tokenizer")
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} has no {CONFIG}: expected a model in the layout of the Hugging Face hub")
    if not any((folder / name).is_file() for name in (WEIGHTS, SHARDS)):
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        if pickles:
            raise InputError(
                f"{folder} has its weights in {pickles[0]}, and loading such a file may run code from it: "
                f"save the model as {WEIGHTS} (save_pretrained does), or take a revision that has it"
            )
        raise InputError(f"{folder} has no {WEIGHTS}: expected the model's weights in it")
    if (folder / SHARDS).is_file() and not (folder / WEIGHTS).is_file():
        _check_shards(folder)
    if not any(path for pattern in TOKENIZERS for path in folder.glob(pattern)):
        raise InputError(f"{folder} has no tokenizer: expected one of {', '.join(TOKENIZERS)} in it")


def _check_shards(folder: Path) -> None:
    """Refuse an index that leads to pickles or out of the folder."""
    try:
        names = set(read_json(folder / SHARDS)["weight_map"].values())
        strange = sorted(
            name for name in names if Path(name).name != name or not name.endswith(".safetensors")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / SHARDS} is damaged ({_reason(error)}): copy the model again") from error
    if strange:
        raise InputError(f"{folder / SHARDS} names {strange[0]!r}: expected .safetensors files beside it")


def _check_config(folder: Path, config: Any) -> None:
    implementation = getattr(config, "_attn_implementation", None)
    if implementation not in ATTENTION:
        raise InputError(
            f"{folder / CONFIG} asks for the attention {implementation!r}, which transformers does not "
            f"bring: remove that entry"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise InputError(f"{folder / CONFIG}: the weights are quantized, which cannot be fine-tuned here")


def _check_weights(folder: Path, model: Any, new: Sequence[str]) -> None:
    """Raise InputError when the files lack weights of the model itself; those of heads may be new."""
    prefix = f"{model.base_model_prefix}."
    lacking = [name for name in new if name.startswith(prefix) and ".pooler." not in f".{name}"]
    if lacking:
        raise InputError(
            f"{folder}: the weights do not fit {CONFIG}: {lacking[0]} is missing or of another shape "
            f"(and {len(lacking) - 1} more); expected weights and description of one model"
        )


def _check_vocabulary(folder: Path, model: Any, tokenizer: Any) -> None:
    pieces, rows = len(tokenizer), model.get_input_embeddings().num_embeddings
    # Embeddings are often padded to a round number; a tokenizer of another model is far off.
    if not rows / 2 <= pieces <= rows:
        raise InputError(
            f"{folder}: the tokenizer has {pieces:,} pieces, the model's embedding {rows:,} rows: expected "
            f"the tokenizer that the model was trained with"
        )
    if tokenizer.pad_token_id is None:
        raise InputError(f"{folder}: the tokenizer has no padding piece: expected an encoder such as BERT")


def _check_length(folder: Path, model: Any, maximum_tokens: int) -> None:
    positions = positions_of(model)
    if positions is not None and maximum_tokens > positions:
        raise InputError(
            f"{folder}: maximum_tokens {maximum_tokens}, but the model has {positions} positions: set it to "
            f"{positions} or less"
        )


def positions_of(model: Any) -> int | None:
    """Return how many pieces of a text a model can read; None: it does not say."""
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if isinstance(table, nn.Embedding) and table.padding_idx is not None:
        # RoBERTa and similar models count positions from the one after that of the padding.
        return table.num_embeddings - table.padding_idx - 1
    return getattr(model.config, "max_position_embeddings", None)


def _description(folder: Path, model: Any, new: Sequence[str]) -> dict[str, Any]:
    patterns = (*DESCRIBED, *TOKENIZERS, "merges.txt", "model*.safetensors")
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {
        "kind": model.config.model_type,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "licence": _licence(folder / CARD),
        "files": {path.name: sha256_of(path) for path in files},
        "new_weights": list(new),
    }


def _licence(card: Path) -> str:
    """Return the licence that the model's card names, or an empty string."""
    from huggingface_hub.repocard import metadata_load

    try:
        licence = (metadata_load(card) or {}).get("license", "")
    except Exception:
        # A card is for people; a malformed one counts as missing.
        return ""
    return licence if isinstance(licence, str) else ""
