"""Stages of invented texts, small enough for tests that train models."""

from __future__ import annotations

import json
import random
from typing import ClassVar

from ulmfit.classifier.settings import ClassifierSettings
from ulmfit.classifier.stages import TrainClassifier
from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage, write_dataset
from ulmfit.language_model.settings import Architecture, Dropouts, PretrainSettings
from ulmfit.language_model.stages import Pretrain
from ulmfit.pipeline.files import write_json
from ulmfit.pipeline.stage import Work
from ulmfit.tokens.stages import EncodeTokens, TrainTokenizer
from ulmfit.training.settings import Phase

SYLLABLES = ("ka", "lo", "mi", "ne", "tu", "ri", "sa", "po", "ve", "du")


def invented_text(seed: int, words: int) -> str:
    """Return words of random syllables; common ones come back often."""
    chance = random.Random(seed)
    lexicon = ["".join(chance.choices(SYLLABLES, k=3)) for _ in range(60)]
    weights = [1 / rank for rank in range(1, 61)]
    return " ".join(chance.choices(lexicon, weights, k=words))


class InventedCorpus(CorpusStage):
    """`documents` texts of invented words."""

    stage_name: ClassVar[str] = "invented_corpus"
    documents: int = 60
    words: int = 80

    def build(self, work: Work) -> None:
        """Write documents.parquet and account.json."""
        import pandas

        splits = [
            "valid" if i % 10 == 8 else "test" if i % 10 == 9 else "train" for i in range(self.documents)
        ]
        table = pandas.DataFrame(
            {
                "id": [str(i) for i in range(self.documents)],
                "title": [f"Title {i}" for i in range(self.documents)],
                "text": [invented_text(i % 7, self.words) for i in range(self.documents)],
                "split": splits,
            }
        )
        table.to_parquet(work.folder / "documents.parquet", index=False)
        account = {
            "source": "invented",
            "pages_read": self.documents,
            "documents_written": self.documents,
            "left_out": {},
        }
        write_json(work.folder / "account.json", account)


class InventedDataset(DatasetStage):
    """Texts whose label is whether a certain word stands in them."""

    stage_name: ClassVar[str] = "invented_dataset"
    rows: int = 60

    def build(self, work: Work) -> None:
        """Write the three tables and dataset.json."""
        import pandas

        for split in ("train", "valid", "test"):
            texts = [invented_text(hash_of(split, i), 12) for i in range(self.rows)]
            labels = ["yes" if i % 2 else "no" for i in range(self.rows)]
            texts = [
                f"{text} {'kalomi' if label == 'yes' else 'dusapo'}"
                for text, label in zip(texts, labels, strict=True)
            ]
            ids = [f"{split}-{i}" for i in range(self.rows)]
            pandas.DataFrame({"id": ids, "text": texts, "label": labels}).to_parquet(
                work.folder / f"{split}.parquet", index=False
            )
        content = {
            "name": "invented",
            "language": "qaa",
            "source": "invented",
            "licence": "none",
            "labels": ["no", "yes"],
            "metric": "accuracy",
            "files": {},
            "rows": {"train": self.rows, "valid": self.rows, "test": self.rows},
            "warnings": [],
        }
        write_json(work.folder / "dataset.json", content)


class Tables(DatasetStage):
    """A data set of given rows: split -> columns -> values."""

    stage_name: ClassVar[str] = "tables"
    content: str

    def build(self, work: Work) -> None:
        """Write what `content` holds as JSON."""
        import pandas

        splits = {split: pandas.DataFrame(table) for split, table in json.loads(self.content).items()}
        write_dataset(work, self, splits)


def tables(**splits: dict) -> Tables:
    """Return a data set of these rows: split -> columns -> values."""
    return Tables(content=json.dumps(splits))


def hash_of(split: str, index: int) -> int:
    """Return a seed that differs between splits."""
    return {"train": 0, "valid": 1000, "test": 2000}[split] + index


def tiny_pretrain(**changes: object) -> Pretrain:
    """Return a language model of 2 layers of 24 units that trains in a second."""
    corpus = InventedCorpus()
    tokenizer = TrainTokenizer(corpus=corpus, language="qaa", vocab_size=80)
    settings = PretrainSettings(
        architecture=Architecture(embedding_size=16, hidden_size=24, layers=2),
        phases=(Phase(epochs=2, learning_rate=1e-2, discriminative=1),),
        batch_size=8,
        bptt=12,
        dropouts=Dropouts(),
        precision="fp32",
    )
    return Pretrain(
        tokens=EncodeTokens(documents=corpus, tokenizer=tokenizer), settings=settings.changed(**changes)
    )


def tiny_classifier(**changes: object) -> TrainClassifier:
    """Return a classifier on top of `tiny_pretrain`, with dropout and gradual unfreezing."""
    language_model = tiny_pretrain()
    settings = ClassifierSettings(
        phases=(Phase(epochs=1, trainable_groups=1, learning_rate=1e-2), Phase(epochs=3, learning_rate=1e-2)),
        batch_size=8,
        bptt=8,
        precision="fp32",
    )
    return TrainClassifier(
        dataset=InventedDataset(),
        tokenizer=language_model.tokens.tokenizer,
        language_model=language_model,
        architecture=language_model.settings.architecture,
        settings=settings.changed(**changes),
    )
