"""Measures how fast this machine is, in seconds: training steps of a model's own size, and work on texts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ulmfit.language_model.settings import Architecture, LanguageModelSettings

SECONDS = 3.0
"""How long steps of training are measured for; at least one is."""
MOST_TOKENS = 2_000
"""Tokens of a step on a CPU: a batch of a large model takes longer than the whole calibration should."""
TEXT_BYTES = 400_000
ENCODE, EXTRACT = "encode", "extract"


def training_rate(vocabulary: int, architecture: Architecture, settings: LanguageModelSettings) -> float:
    """Return the tokens per second of a language model's training step on made tokens.

    The first step, in which memory is taken and kernels may be compiled, does not count.
    """
    import torch

    from ulmfit.language_model.compute import choose_compute
    from ulmfit.language_model.loss import LanguageModelLoss, StreamLoss
    from ulmfit.language_model.model import LanguageModel
    from ulmfit.training.distribution import choose_device

    device = choose_device(settings.device)
    settings = settings.resolved()
    state = torch.random.get_rng_state()
    model = LanguageModel(vocabulary, architecture, settings.dropouts).to(device)
    model.set_compute(choose_compute(settings.precision, settings.engine, device, lambda line: None))
    model.makes_logits = False
    loss = StreamLoss(model, LanguageModelLoss(settings.label_smoothing), settings.ar, settings.tar)
    optimizer = torch.optim.Adam(model.parameters())
    streams = settings.batch_size
    if device.type == "cpu":
        streams = max(1, min(streams, MOST_TOKENS // settings.bptt))
    ids = torch.randint(vocabulary, (streams, settings.bptt + 1), device=device)

    def step() -> None:
        outputs = model(ids[:, :-1])
        penalty = loss.penalty(outputs)
        total = loss(outputs, ids[:, 1:])
        (total if penalty is None else total + penalty).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    try:
        threads = torch.get_num_threads() if device.type == "cpu" else 0
        return streams * settings.bptt * _per_second(step, threads=threads)
    finally:
        torch.random.set_rng_state(state)


def text_rate(name: str) -> float:
    """Return the bytes per second of extraction from wikitext, or of encoding, on one core."""
    text = _made_text()
    if name == EXTRACT:
        from ulmfit.corpus.fast.text import LinkNames, article_text

        names = LinkNames.of({})
        pages = [
            f"'''A''' [[b|c]] {{{{x|y={n}}}}}\n== D ==\n{text[n : n + 4000]}" for n in range(0, 100_000, 4000)
        ]
        size = sum(len(page.encode()) for page in pages)
        return size * _per_second(lambda: [article_text(page, names) for page in pages], 0.5)
    from ulmfit.tokens.sentencepiece_training import train_tokenizer
    from ulmfit.tokens.text_form import Rules

    tokenizer = train_tokenizer(text[:100_000].splitlines(), Rules(language="en"), vocab_size=500)
    return len(text.encode()) * _per_second(lambda: tokenizer.encode(text.splitlines()), 0.5)


def _per_second(work: Callable[[], object], seconds: float = SECONDS, threads: int = 1) -> float:
    """Return how often `work` is done per second on a free machine, after a first time that does not count.

    `threads` work on it. Their processor time is counted, of which other programs take nothing; 0: the work
    is done elsewhere, on a GPU, and the clock is read.
    """
    clock = time.process_time if threads else time.perf_counter
    work()
    times, begun, started = 0, clock(), time.perf_counter()
    while not times or time.perf_counter() - started < seconds:
        work()
        times += 1
    return times / max((clock() - begun) / max(threads, 1), 1e-9)


def _made_text() -> str:
    """Return lines of invented words, always the same."""
    draw = random.Random(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(3_000)]
    lines: list[str] = []
    while sum(len(line) for line in lines) < TEXT_BYTES:
        lines.append(" ".join(draw.choices(words, k=40)).capitalize() + ".")
    return "\n".join(lines)
