"""What the processes of `ulmfit bench predict` run; arguments: FOLDER JOB, the job as JSON.

FOLDER has what `make` wrote: a bundle with made-up weights, its ONNX file, and what fastai says. Ours and
onnxruntime begin with texts, fastai with the ids of the same texts. Loading is not timed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy
import torch

from ulmfit.bench import classifier_program
from ulmfit.bench.classifier_program import (
    CHECKED,
    COMPARED,
    LABELS,
    MADE,
    SETTINGS,
    WARMING,
    WEIGHTS,
    difference,
    made_documents,
    run_stock,
)
from ulmfit.bench.job import Job, Sizes
from ulmfit.bench.made_tokens import FIRST_WORD
from ulmfit.bench.program import Figures, Watch
from ulmfit.bundle.classifier import TextClassifier
from ulmfit.bundle.description import ClassifierDescription
from ulmfit.bundle.inputs import Row
from ulmfit.bundle.onnx_export import export_onnx, padded
from ulmfit.bundle.predict import predicted
from ulmfit.language_model.bundle_format import BUNDLE, TOKENIZER, Member
from ulmfit.pipeline.files import write_json
from ulmfit.pipeline.sums import write_sums
from ulmfit.tokens.text_form import Rules
from ulmfit.tokens.words_tokenizer import WordsTokenizer, reserved_pieces

ONNX = "model.onnx"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Predict = Callable[[Sequence[str]], numpy.ndarray]


def word(number: int) -> str:
    """Return the word of an id: its digits, as letters."""
    digits = ""
    while number:
        number, digit = divmod(number, len(LETTERS))
        digits = LETTERS[digit] + digits
    return digits


def made_texts(sizes: Sizes, count: int, seed: int) -> list[str]:
    """Return the texts whose ids are `made_documents`."""
    return [" ".join(map(word, ids[1:].tolist())) for ids in made_documents(sizes, count, seed)]


def make(sizes: Sizes, folder: Path) -> None:
    """Write a bundle with the weights of `classifier_program.make`, and its ONNX file."""
    classifier_program.make(sizes, folder)
    rules = Rules(language="en", marks=False)
    reserved = reserved_pieces(rules)
    assert len(reserved) == FIRST_WORD
    words = [f"\u2581{word(number)}" for number in range(FIRST_WORD, sizes.vocabulary_size)]
    tokenizer = WordsTokenizer([*reserved, *words], rules)
    (folder / TOKENIZER).mkdir()
    tokenizer.save(folder / TOKENIZER)
    description = ClassifierDescription(
        format_version=1,
        name="bench",
        language="en",
        architecture=sizes.architecture,
        vocabulary_size=tokenizer.size,
        vocabulary=tokenizer.fingerprint(),
        members=(Member(file=WEIGHTS, direction="forward"),),
        weights="fp32",
        precision="fp32",
        task="single_label",
        labels=tuple(f"label {number}" for number in range(LABELS)),
        bptt=sizes.bptt,
        maximum_tokens=0,
        reads="first",
        head_units=SETTINGS.head_units,
        dataset="made up",
        metric="accuracy",
    )
    write_json(folder / BUNDLE, description.model_dump(mode="json"))
    write_sums(folder)
    export_onnx(TextClassifier.load(folder, device="cpu", precision="fp32"), folder / ONNX)


def with_torch(job: Job, folder: Path) -> Predict:
    """Return what predicts as `ulmfit predict` does."""
    classifier = TextClassifier.load(
        folder,
        device=job.device,
        precision="bf16" if job.precision == "bf16" else "fp32",
        batch=job.batch_size,
    )

    def predict(texts: Sequence[str]) -> numpy.ndarray:
        rows = (Row(number, str(number), text, None) for number, text in enumerate(texts))
        found = [one.numbers for block in predicted(classifier, rows) for one in block]
        return numpy.stack([numbers for numbers in found if numbers is not None])

    return predict


def with_onnxruntime(job: Job, folder: Path) -> Predict:
    """Return what a program without torch would do: sort by length, compute batch by batch."""
    import onnxruntime

    from ulmfit.tokens.loading import load_tokenizer

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(folder / ONNX), options, providers=["CPUExecutionProvider"])
    tokenizer = load_tokenizer(folder / TOKENIZER)

    def batches(count: int) -> Iterator[slice]:
        return (slice(first, first + job.batch_size) for first in range(0, count, job.batch_size))

    def predict(texts: Sequence[str]) -> numpy.ndarray:
        documents = tokenizer.encode(texts)
        order = numpy.argsort([-len(one) for one in documents], kind="stable")
        found = numpy.empty((len(texts), LABELS))
        for part in batches(len(texts)):
            found[order[part]] = session.run(None, padded([documents[place] for place in order[part]]))[0]
        return found

    return predict


def run(job: Job, folder: Path) -> Figures:
    """Predict texts, or with fastai their ids, and say how long it took."""
    if job.who == "stock":
        return run_stock(job, folder)
    predict = (with_onnxruntime if job.who == "onnx" else with_torch)(job, folder)
    figures = difference(predict(made_texts(job.sizes, COMPARED, CHECKED)), folder)
    predict(made_texts(job.sizes, job.warm_up * job.batch_size, WARMING))
    texts, watch = made_texts(job.sizes, job.documents, MADE), Watch(job)
    watch.start()
    predict(texts)
    watch.stop()
    return {**watch.figures, **figures}


if __name__ == "__main__":
    print(json.dumps(run(Job.from_json(sys.argv[2]), Path(sys.argv[1]))))
