"""How much text the stages of a recipe will read, as far as it is known before they are built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ulmfit.classifier.pseudo_labels import PseudoLabelled
from ulmfit.corpus.beginnings import DumpBeginning, WikipediaBeginning
from ulmfit.corpus.dataset_texts import DatasetTexts
from ulmfit.corpus.stages import (
    CorpusStage,
    DumpStage,
    ExtractedCorpus,
    JoinedCorpus,
    TextFiles,
    WikipediaCorpus,
)
from ulmfit.datasets.sample import SampledDataset
from ulmfit.datasets.stages import DatasetStage
from ulmfit.datasets.subsets import TrainingSubset
from ulmfit.evaluation.teaching_stages import SoftLabels
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.files import packed_suffix, read_json
from ulmfit.pipeline.runner import Runner
from ulmfit.tokens.stages import EncodeTokens

BYTES_PER_WORD, BYTES_PER_TOKEN = 7.0, 3.3
"""Of texts in Latin letters; a piece of a vocabulary of some thousands."""
OTHER_SCRIPTS = "ar be bg el fa he hi hy ja ka ko mk ru sr uk zh"
BYTES_PER_TOKEN_OTHER = 5.5
"""Of texts whose letters take two or three bytes."""
BYTES_PER_ARTICLE, TEXT_PER_XML, XML_PER_ARTICLE = 3_000, 0.3, 10_000
BYTES_PER_TEXT, BYTES_PER_DOCUMENT = 200, 2_000
UNPACKED = 4.0
"""Times its packed size that text has."""
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


class Size(NamedTuple):
    """Documents and bytes of UTF-8; None: not known, `why` says why. `read` are the bytes of the source."""

    documents: float | None
    bytes: float | None
    why: str = ""
    read: float | None = None


class Rows(NamedTuple):
    """Texts of each split, and the bytes of one; without any it is not known, `why` says why."""

    rows: dict[str, float]
    bytes_each: float = BYTES_PER_TEXT
    why: str = ""

    def size(self, *splits: str) -> Size:
        """Return the size of some splits together."""
        if not self.rows:
            return Size(None, None, self.why)
        count = sum(self.rows.get(split, 0) for split in splits)
        return Size(count, count * self.bytes_each, read=count * self.bytes_each)


class Sizes:
    """Sizes of corpora, data sets and token arrays: of finished stages as they are, of others by estimate."""

    def __init__(self, runner: Runner, language: str) -> None:
        self.runner = runner
        other = language.partition("-")[0] in OTHER_SCRIPTS.split()
        self.bytes_per_token = BYTES_PER_TOKEN_OTHER if other else BYTES_PER_TOKEN
        self._corpora: dict[str, Size] = {}
        self._datasets: dict[str, Rows] = {}

    def corpus(self, stage: CorpusStage) -> Size:
        """Return documents and bytes that a corpus has, or will have."""
        key = self.runner.keys.key(stage)
        if key not in self._corpora:
            self._corpora[key] = self._finished(stage) or self._limited(stage, self._source(stage))
        return self._corpora[key]

    def dataset(self, stage: DatasetStage) -> Rows:
        """Return the texts that a data set has, or will have."""
        key = self.runner.keys.key(stage)
        if key not in self._datasets:
            self._datasets[key] = self._finished_rows(stage) or self._rows(stage)
        return self._datasets[key]

    def tokens(self, stage: EncodeTokens, split: str = "train") -> tuple[float | None, str]:
        """Return the tokens of a split, or None and why they are not known."""
        if self.runner.is_done(stage):
            counts = read_json(self.runner.folder(stage) / "counts.json")
            return counts[split]["tokens"], ""
        size = self.corpus(stage.documents)
        if size.bytes is None:
            return None, size.why
        each = self.bytes_per_token if stage.tokenizer.has_subwords else BYTES_PER_WORD
        return size.bytes / each, ""

    def _finished(self, stage: CorpusStage) -> Size | None:
        if not self.runner.is_done(stage):
            return None
        documents, size = _text_of_table(self.runner.folder(stage) / "documents.parquet")
        return Size(documents, size, read=size)

    def _limited(self, stage: CorpusStage, whole: Size) -> Size:
        documents, size = whole.documents, whole.bytes
        most, words = stage.max_documents, stage.max_tokens
        by_documents = float("inf") if most is None else float(most)
        by_words = float("inf") if words is None else BYTES_PER_WORD * words
        if size is None or documents is None:
            # The limits alone tell how much is kept, though not how much has to be read.
            kept = min(BYTES_PER_ARTICLE * by_documents, by_words)
            return whole if kept == float("inf") else Size(kept / BYTES_PER_ARTICLE, kept, whole.why)
        share = min(1.0, by_documents / max(documents, 1), by_words / max(size, 1))
        return Size(documents * share, size * share, whole.why, whole.read)

    def _source(self, stage: CorpusStage) -> Size:
        """Return what a corpus would have without its limits."""
        if isinstance(stage, DatasetTexts):
            splits = ["train", "unlabelled", "valid", *(["test"] if stage.transductive else [])]
            return self.dataset(stage.dataset).size(*splits)
        if isinstance(stage, JoinedCorpus):
            return _sum(self.corpus(part) for part in stage.parts)
        if isinstance(inner := getattr(stage, "corpus", None), CorpusStage):
            return self.corpus(inner)
        if isinstance(stage, WikipediaCorpus):
            xml = self._xml_bytes(stage.dump)
            if xml is None:
                return Size(None, None, "the size of the dump is not known before it is downloaded")
            return Size(xml / XML_PER_ARTICLE, xml * TEXT_PER_XML, read=xml)
        if isinstance(stage, TextFiles | ExtractedCorpus):
            sizes = [unpacked_bytes(file) for file in stage.input_files()]
            if None in sizes:
                return Size(None, None, "the size of its files is not known before they are downloaded")
            size = float(sum(one or 0 for one in sizes))
            if stage.first_megabytes is not None:
                size = min(size, 1e6 * stage.first_megabytes)
            return Size(size / self._document_bytes(stage), size, read=size)
        return Size(None, None, f"nothing is known of {stage.title} before it is built")

    def _document_bytes(self, stage: CorpusStage) -> float:
        if isinstance(stage, TextFiles) and stage.document == "line":
            return BYTES_PER_TEXT
        if isinstance(stage, ExtractedCorpus):
            return BYTES_PER_ARTICLE
        words = getattr(stage, "max_words", None)
        return words * BYTES_PER_WORD / 2 if words else BYTES_PER_DOCUMENT

    def _xml_bytes(self, dump: DumpStage | File) -> float | None:
        if isinstance(dump, File):
            return unpacked_bytes(dump)
        if self.runner.is_done(dump):
            files = [path for path in self.runner.folder(dump).iterdir() if ".xml" in path.name]
            return float(sum(path.stat().st_size * _growth(path.name) for path in files))
        if isinstance(dump, WikipediaBeginning | DumpBeginning):
            return 1e6 * dump.megabytes
        return None

    def _finished_rows(self, stage: DatasetStage) -> Rows | None:
        if not self.runner.is_done(stage):
            return None
        folder = self.runner.folder(stage)
        rows = dict(read_json(folder / "dataset.json")["rows"])
        count, size = _text_of_table(folder / "train.parquet")
        return Rows(rows, size / max(count, 1))

    def _rows(self, stage: DatasetStage) -> Rows:
        inner = getattr(stage, "dataset", None)
        if isinstance(inner, DatasetStage):
            found = self.dataset(inner)
            if isinstance(stage, SampledDataset):
                kept = {split: min(n, getattr(stage, split)) for split, n in found.rows.items()}
                kept = kept or {split: float(getattr(stage, split)) for split in SHARES}
                return Rows(kept, found.bytes_each)
            return found._replace(rows=self._changed_rows(stage, found.rows)) if found.rows else found
        # A generator of texts has their numbers among its settings.
        told = {split: getattr(stage, split, None) for split in (*SHARES, "unlabelled")}
        if isinstance(told["train"], int):
            return Rows({split: float(n) for split, n in told.items() if isinstance(n, int)})
        return self._rows_of_files(stage)

    def _changed_rows(self, stage: DatasetStage, rows: dict[str, float]) -> dict[str, float]:
        """Return the texts of a data set that is made from one with these `rows`."""
        train, unlabelled = rows.get("train", 0), rows.get("unlabelled", 0)
        if isinstance(stage, TrainingSubset):
            rest = train - stage.size + unlabelled if stage.keep_rest else 0
            return {**rows, "train": float(stage.size), "unlabelled": max(rest, 0)}
        if isinstance(stage, SoftLabels):
            whole = self.dataset(stage.texts).rows
            others = whole.get("train", 0) + whole.get("unlabelled", 0) - train
            return {**rows, "train": max(others, 0), "unlabelled": 0}
        if isinstance(stage, PseudoLabelled):
            # At most: how many texts are sure enough is not known before they are predicted.
            pool = unlabelled if stage.pool is None else self.dataset(stage.pool).rows.get("train", 0)
            return {**rows, "train": train + pool, "unlabelled": 0 if stage.pool is None else unlabelled}
        return rows

    def _rows_of_files(self, stage: DatasetStage) -> Rows:
        why = f"the data set has not been read yet: ulmfit run ... --until {stage.stage_name} does that"
        named = getattr(stage, "files", None)
        if not isinstance(named, dict):
            named = {split: getattr(stage, split, None) for split in (*SHARES, "unlabelled")}
        files = {name: file for name, file in named.items() if isinstance(file, File | tuple)}
        sizes: dict[str, float] = {}
        for name, some in files.items():
            for file in some if isinstance(some, tuple) else (some,):
                size = unpacked_bytes(file)
                if size is None:
                    return Rows({}, why=why)
                split = next((split for split in (*SHARES, "unlabelled") if name.startswith(split)), "all")
                sizes[split] = sizes.get(split, 0.0) + size
        whole = sizes.pop("all", 0.0)
        for split, share in SHARES.items():
            if whole:
                sizes[split] = sizes.get(split, 0.0) + share * whole
        if not sizes.get("train"):
            return Rows({}, why=why)
        if not sizes.get("valid"):
            sizes["valid"], sizes["train"] = 0.1 * sizes["train"], 0.9 * sizes["train"]
        return Rows({split: size / BYTES_PER_TEXT for split, size in sizes.items() if size})


def unpacked_bytes(file: File) -> float | None:
    """Return about how many bytes a file has when it is unpacked; None where its size is not known."""
    if file.path is None:
        return None if file.size is None else file.size * _growth(file.name)
    if file.path.is_dir():
        return float(sum(p.stat().st_size * _growth(p.name) for p in file.path.rglob("*") if p.is_file()))
    return file.path.stat().st_size * _growth(file.path.name) if file.path.exists() else None


def _growth(name: str) -> float:
    packed = packed_suffix(name) or name.lower().endswith((".zip", ".tgz", ".txz", ".parquet"))
    return UNPACKED if packed else 1.0


def _text_of_table(path) -> tuple[int, float]:
    """Return rows and bytes of the column `text` of a Parquet file, from its end."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        meta = file.metadata
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        columns = [group.column(place) for group in groups for place in range(group.num_columns)]
        size = sum(one.total_uncompressed_size for one in columns if one.path_in_schema == "text")
        return meta.num_rows, float(size)


def _sum(sizes: Iterable[Size]) -> Size:
    found = list(sizes)
    if unknown := [one for one in found if one.bytes is None or one.documents is None]:
        return Size(None, None, unknown[0].why)
    read = [one.read for one in found]
    total = None if None in read else sum(one or 0 for one in read)
    return Size(sum(one.documents or 0 for one in found), sum(one.bytes or 0 for one in found), read=total)
