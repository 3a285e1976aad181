"""The texts of a data set as documents, for fine-tuning a language model."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.corpus.stages import CorpusStage
from ulmfit.datasets.stages import DatasetStage
from ulmfit.pipeline.stage import Work

if TYPE_CHECKING:
    from pandas import DataFrame, Series

COPY_OF_TRAINING = "unlabelled copy of a training text"


class DatasetTexts(CorpusStage):
    """Train and unlabelled texts of a data set as training documents, its valid texts as validation.

    Labels are never read. An unlabelled text that is a training text as well is read once: some data sets
    have all of train among the unlabelled texts. The test split is empty; `transductive` adds the test texts
    to the training documents, as MultiFiT's first version did. `max_documents` and `max_tokens` sample the
    training documents alone.
    """

    stage_name: ClassVar[str] = "dataset-texts"
    stage_version: ClassVar[int] = 3

    dataset: DatasetStage = Field(description="the data set")
    transductive: bool = Field(
        False, description="train the language model on the test texts too; results have to say so"
    )
    unlabelled_copies: Literal["drop", "keep"] = Field(
        "drop",
        description="drop: leave out unlabelled texts that equal a training document but for white space and "
        "composed characters; keep: read them once more",
    )

    @model_validator(mode="after")
    def _keeps_the_splits(self) -> Self:
        for name in ("valid_fraction", "test_fraction", "min_words"):
            off = type(self).model_fields[name].default
            if (value := getattr(self, name)) != off:
                raise ValueError(
                    f"{name} is {value}, expected {off}: texts and splits are those of the data set; where a "
                    f"preset asks for it, --set {name}={off}"
                )
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """Short labels for logs."""
        return self.dataset.details

    def build(self, work: Work) -> None:
        """Write `documents.parquet` and `account.json`."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        from ulmfit.corpus.documents import ACCOUNT, DOCUMENTS, SCHEMA, Account
        from ulmfit.corpus.sampling import OUTSIDE_SAMPLE, SAMPLE_SALT, salted_hash
        from ulmfit.corpus.sources.text_files import EMPTY
        from ulmfit.pipeline.files import atomic_path, read_json, write_json

        folder = work.input(self.dataset)
        account = Account(source=f"texts of the data set {read_json(folder / 'dataset.json')['name']}")
        tables = []
        for name in ("train", "unlabelled", *(["test"] if self.transductive else []), "valid"):
            path = folder / f"{name}.parquet"
            if name == "unlabelled" and not path.exists():
                continue
            table = pd.read_parquet(path, columns=["id", "text"])
            table = table.assign(id=f"{name}/" + table["id"], title="", split="train")
            tables.append(table.assign(split="valid") if name == "valid" else table)
        documents = pd.concat(tables, ignore_index=True)
        account.pages_read = len(documents)
        # Test rows without text are predicted, but there is nothing in them to learn from.
        empty = documents["text"].str.strip() == ""
        for name in documents["id"][empty]:
            account.leave_out(EMPTY, name)
        documents = documents[~empty].reset_index(drop=True)
        if self.unlabelled_copies == "drop":
            copies = _copies_of_training_texts(documents)
            for name in documents["id"][copies]:
                account.leave_out(COPY_OF_TRAINING, name)
            if copies.any():
                work.log(f"{int(copies.sum()):,} unlabelled texts are training texts as well: left out")
            documents = documents[~copies].reset_index(drop=True)
        words = documents["text"].map(self.selection().count)
        hashes = documents["id"].map(lambda name: salted_hash(SAMPLE_SALT, name))
        order = hashes[documents["split"] == "train"].sort_values(kind="stable").index
        if (count := self.selection().reached(words[order].to_numpy())) is not None:
            outside = order[count:].sort_values()
            for name in documents["id"][outside]:
                account.leave_out(OUTSIDE_SAMPLE, name)
            documents, words = documents.drop(outside), words.drop(outside)
        account.more[self.counted_in] = int(words.sum())
        with atomic_path(work.folder / DOCUMENTS) as path:
            table = pa.Table.from_pandas(documents[SCHEMA.names], schema=SCHEMA, preserve_index=False)
            pq.write_table(table, path, compression="zstd", row_group_size=10_000)
        write_json(work.folder / ACCOUNT, account.as_json(len(documents)))
        work.log(f"{len(documents):,} documents, left out: {account.counts()}")


def _copies_of_training_texts(documents: DataFrame) -> Series:
    """Return which documents (N,) are unlabelled and have the normal form of a labelled training document."""
    forms = documents["text"].map(lambda text: " ".join(unicodedata.normalize("NFC", text).split()))
    unlabelled = documents["id"].str.startswith("unlabelled/")
    training = (documents["split"] == "train") & ~unlabelled
    return unlabelled & forms.isin(set(forms[training]))
