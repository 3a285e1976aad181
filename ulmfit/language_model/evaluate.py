"""A language model's quality, document by document: every token is scored given its document's beginning.

Shapes: D documents, B of them in a batch, T positions of a chunk, N scored tokens of a chunk, E embedding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import torch
from torch import Tensor

from ulmfit.language_model.figures import Perplexities
from ulmfit.language_model.linear_cross_entropy import token_losses
from ulmfit.language_model.model import LanguageModel
from ulmfit.language_model.settings import LanguageModelSettings
from ulmfit.language_model.stages import BackwardOrder
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.arrays import TokenArray
from ulmfit.tokens.tokenizer import EOS_ID, Tokenizer
from ulmfit.training.precision import Precision

CHUNK = 70
"""Positions that are computed at once, whatever a document's length."""
EVALUATED = ("valid", "test")


def evaluate_splits(
    model: LanguageModel,
    tokens: Path,
    tokenizer: Tokenizer,
    settings: LanguageModelSettings,
    backward: bool,
    work: Work,
    order: BackwardOrder = "bos-first",
) -> dict[str, Perplexities]:
    """Return the figures of validation and test, where these have documents.

    `tokens` is the folder of an `EncodeTokens` stage. Nothing here waits for other processes: where several
    train, the first one evaluates alone. Raises InputError when the model gives losses that are no numbers.
    """
    counts = read_json(tokens / "counts.json")
    figures = {}
    started, scored = time.monotonic(), 0
    for split in EVALUATED:
        array = TokenArray.open(tokens, split)
        if not len(array):
            continue
        count = counts[split]
        progress = work.progress(len(array.tokens), "tokens evaluated")
        losses = document_losses(
            model,
            array,
            settings.evaluation_batch,
            backward=backward,
            order=order,
            advance=progress.advance,
        )
        progress.close()
        if not math.isfinite(loss_sum := math.fsum(losses)):
            raise InputError(
                f"{split}: the language model's loss is {loss_sum}; expected a finite number: train it with "
                "a lower learning rate or with precision=fp32"
            )
        figures[split] = perplexities(
            loss_sum=loss_sum,
            documents=count["documents"],
            tokens=len(array.tokens) - len(array),
            words=count["words"],
            characters=count["characters"],
            unknown_tokens=int(numpy.count_nonzero(array.tokens == tokenizer.unk_id)),
            scoring_precision=precision_of(model),
        )
        scored += figures[split].tokens
        work.log(describe_perplexities(split, figures[split]))
    if scored:
        seconds = time.monotonic() - started
        work.measure("evaluation_seconds", seconds)
        work.measure("evaluation_tokens_per_second", scored / max(seconds, 1e-9))
    return figures


def precision_of(model: LanguageModel) -> Precision:
    """Return the precision in which a model scores, which is that of its training: fp32 or bf16.

    Losses are summed in float64 in any case. Scored in bf16 a model of German Wikipedia (3 x 400 units, loss
    6.18) had 0.00007 nats a token more than in fp32, one that knew its texts by heart (loss 0.07) 0.00011.
    """
    return "bf16" if model.encoder.compute.dtype == torch.bfloat16 else "fp32"


# --- The loss of every document ----------------------------------------------------------------------------


def document_losses(
    model: LanguageModel,
    array: TokenArray,
    batch_size: int,
    *,
    backward: bool = False,
    order: BackwardOrder = "bos-first",
    with_end: bool = False,
    advance: Callable[[int], None] = lambda tokens: None,
) -> numpy.ndarray:
    """Return the summed loss of each document (D,), nats in float64, over its tokens after the first (xxbos).

    `array` holds documents in the order of their texts; a `backward` model is given them in its own, behind
    what stands before a text in its training: xxeos (`order` eos-first), else xxbos, with bos-last as the end
    of the text before.
    `with_end` scores the end of each document too: as the xxbos of another, which follows it in training.

    The result does not depend on `batch_size`, which limits memory: so many documents of CHUNK tokens or
    more are scored at once, and more of shorter ones. Documents of like length share a batch, one that ended
    leaves it, and what is padded is never scored. Memory does not grow with the length of documents.
    """
    lengths = numpy.diff(array.offsets)
    scored = lengths - 1 + int(with_end)
    ranked = numpy.argsort(-scored, kind="stable")
    ranked = ranked[scored[ranked] > 0]
    losses = numpy.zeros(len(array))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for batch in _batches(scored[ranked], batch_size):
            documents = ranked[batch]
            total = _batch_losses(model, array, documents, scored[documents], backward, order, advance)
            losses[documents] = total.cpu().numpy()
    model.train(was_training)
    return losses


def _batches(scored: numpy.ndarray, batch_size: int) -> Iterator[slice]:
    """Cut documents, the longest first, into batches with about as many tokens in a chunk."""
    start = 0
    while start < len(scored):
        documents = batch_size * CHUNK // min(CHUNK, int(scored[start]))
        yield slice(start, start + documents)
        start += documents


def _batch_losses(
    model: LanguageModel,
    array: TokenArray,
    documents: numpy.ndarray,
    scored: numpy.ndarray,
    backward: bool,
    order: BackwardOrder,
    advance: Callable[[int], None],
) -> Tensor:
    """Return the summed losses (B,) of `documents` (B,), of which `scored` (B,) tokens count, most first."""
    decoder = model.decoder.decoder
    device = decoder.weight.device
    state = model.encoder.initial_state(len(documents))
    total = torch.zeros(len(documents), dtype=torch.float64, device=device)
    for start in range(0, int(scored[0]), CHUNK):
        active = int(numpy.count_nonzero(scored > start))
        end = min(start + CHUNK, int(scored[0]))
        positions = numpy.arange(start, end + 1)
        tokens = _tokens_at(array, documents[:active], positions, backward)
        if backward and order == "eos-first" and start == 0:
            tokens[:, 0] = EOS_ID
        ids = torch.from_numpy(tokens).to(device)
        counts = torch.from_numpy(positions[:-1] < scored[:active, None]).to(device)
        state = [tuple(tensor[:, :active] for tensor in layer) for layer in state]
        outputs, state = model.encoder(ids[:, :-1], state)
        losses = torch.zeros(counts.shape, dtype=torch.float64, device=device)
        losses[counts] = token_losses(
            outputs[counts],
            decoder.weight,
            decoder.bias,
            ids[:, 1:][counts],
            engine=model.encoder.compute.engine,
        ).double()
        total[:active] += losses.sum(1)
        advance(int(numpy.minimum(scored[:active] - start, CHUNK).sum()))
    return total


def _tokens_at(
    array: TokenArray, documents: numpy.ndarray, positions: numpy.ndarray, backward: bool
) -> numpy.ndarray:
    """Return the tokens (B, T) that stand at `positions` (T,) as the model reads; behind the end xxbos."""
    begins = array.offsets[documents][:, None]
    lengths = array.offsets[documents + 1][:, None] - begins
    places = numpy.where(positions == 0, 0, lengths - positions) if backward else positions
    inside = (positions < lengths) & (places >= 0)
    return array.tokens[begins + numpy.where(inside, places, 0)].astype(numpy.int64)


# --- Figures -----------------------------------------------------------------------------------------------


def perplexities(
    *,
    loss_sum: float,
    documents: int,
    tokens: int,
    words: int,
    characters: int,
    unknown_tokens: int,
    scoring_precision: Precision = "fp32",
) -> Perplexities:
    """Return loss (nats per token), token and word perplexity, and bits per character.

    `tokens` are the scored ones, `words` and `characters` those of the raw text. Word perplexity is
    exp(loss x tokens / words). With many unknown tokens (`too_many_unknown`) the last two are not comparable
    to other models'.
    `scoring_precision` is that of the matrix products; losses are summed in float64.
    """
    loss = loss_sum / max(tokens, 1)
    return Perplexities(
        loss=loss,
        token_perplexity=exponential(loss),
        word_perplexity=exponential(loss_sum / max(words, 1)),
        bits_per_character=loss_sum / math.log(2) / max(characters, 1),
        documents=documents,
        tokens=tokens,
        words=words,
        characters=characters,
        unknown_tokens=unknown_tokens,
        scoring_precision=scoring_precision,
    )


def exponential(value: float) -> float | None:
    """Return e to the power of `value`; None where no float holds it."""
    return math.exp(value) if value < 700 else None


def describe_perplexities(split: str, figures: Perplexities) -> str:
    """Return one line for a log."""
    mark = ""
    if unknown := figures.unknown_tokens:
        verdict = "the last two not comparable: " if figures.has_many_unknown else ""
        mark = f" ({verdict}{unknown:,} unknown tokens, {100 * figures.unknown_share:.2g} per 100 words)"
    return (
        f"{split}: loss {figures.loss:.4f}, token perplexity {_shown(figures.token_perplexity)}, "
        f"word perplexity {_shown(figures.word_perplexity)}, "
        f"{figures.bits_per_character:.4f} bits per character{mark}"
    )


def _shown(perplexity: float | None) -> str:
    return "beyond a float" if perplexity is None else f"{perplexity:.2f}"
