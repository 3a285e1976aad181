"""The stages of step 1. Importing them is cheap: `build` imports the code that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ulmfit.pipeline.assets import File
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import table_suffix
from ulmfit.pipeline.settings import NOT_IN_KEY
from ulmfit.pipeline.stage import Stage, Work

if TYPE_CHECKING:
    from ulmfit.corpus.sampling import Selection
    from ulmfit.corpus.sources.text_files import Form


NEWEST = "newest"
"""In place of a dump's date."""
FIRST_MEGABYTES = Field(
    None,
    ge=1,
    description="MB of text after which reading stops: the beginning, no sample of the whole, for trials; "
    "None: all of it is read",
)


class DumpStage(Stage):
    """A stage whose folder holds one or more `*.xml.bz2`: the parts of one MediaWiki dump."""


class CorpusStage(Stage):
    """A stage whose folder holds `documents.parquet` and `account.json`.

    `documents.parquet` has the columns id, title, text and split (train, valid or test). The account always
    closes: `pages_read == documents_written + sum of the counts in left_out`.
    """

    max_documents: int | None = Field(
        None, ge=1, description="documents kept, an unbiased sample by a hash of the id; None keeps all"
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="words (see counted_in) after which no more documents are kept, taken in the order that "
        "max_documents uses; the last one may go over it; None keeps all",
    )
    min_words: int = Field(
        0,
        ge=0,
        description="words that a document needs to be kept (MultiFiT: 100, counted in runs); 0: none",
    )
    counted_in: Literal["words", "runs"] = Field(
        "words",
        description="what max_tokens and min_words count: words (corpus/words.py), which are characters in "
        "Chinese or Japanese, or runs between spaces and punctuation (corpus/runs.py), as MultiFiT did",
    )
    valid_fraction: float = Field(
        0.01, gt=0, lt=1, description="share of the documents for validation, chosen by a salted hash"
    )
    test_fraction: float = Field(
        0.01, gt=0, lt=1, description="share of the documents for testing, chosen by a salted hash"
    )

    @model_validator(mode="after")
    def _leave_something_to_train(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction + test_fraction must be below 1: the rest is for training")
        return self

    def selection(self) -> Selection:
        """Return the sample and the splits that the fields ask for."""
        from ulmfit.corpus.sampling import Selection

        return Selection(
            self.max_documents,
            self.valid_fraction,
            self.test_fraction,
            self.max_tokens,
            self.min_words,
            self.counted_in,
        )


class Wikipedia(DumpStage):
    """The article dump of one Wikipedia and one date, downloaded and checked against its published sha1."""

    stage_name: ClassVar[str] = "dump"

    language: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="language code as in xx.wikipedia.org")
    date: str = Field(
        pattern=rf"^(\d{{8}}|{NEWEST})$",
        description="day of the dump, YYYYMMDD; dumps vanish after months. newest: the newest complete one, "
        "which the first run notes in pins.toml beside the recipe",
    )
    base_url: Annotated[str, NOT_IN_KEY] = Field(
        "https://dumps.wikimedia.org", description="server of the dumps, or a mirror with the same layout"
    )
    largest_file: Annotated[int, NOT_IN_KEY] = Field(
        100_000_000_000, ge=1, description="bytes that are downloaded of a file at most: no size is published"
    )

    def check_date(self) -> None:
        """Raise InputError while nobody has looked up which dump is the newest."""
        if self.date == NEWEST:
            raise InputError(
                f"the newest dump of {self.language} has to be found first: run a recipe (ulmfit run), which "
                f"notes its date, or name a date"
            )

    def build(self, work: Work) -> None:
        """Download what is missing, unless the mirror has it."""
        from ulmfit.corpus.dumps.download import download_dump

        self.check_date()
        download_dump(
            self.language, self.date, self.base_url, work.folder, work.log, work.mirror, self.largest_file
        )


def _check_is_text(file: File) -> None:
    """Raise InputError for a local file that begins as no text, Parquet file or tar archive does."""
    from ulmfit.corpus.sources.archives import is_tar
    from ulmfit.pipeline.streams import check_is_text

    path = file.path
    if path is not None and path.is_file() and not is_tar(path) and table_suffix(path.name) != ".parquet":
        check_is_text(path)


class WikipediaCorpus(CorpusStage):
    """The articles of a Wikipedia dump as text.

    Two engines read wikitext. "fast" is this project's: one pass over the wikitext that drops templates.
    "wikiextractor" expands templates; it is a program of its own, and leaves some markup. A limit struck by a
    page (`page_seconds`, `memory_megabytes`) costs that page alone, and the account names it.
    """

    stage_name: ClassVar[str] = "corpus"
    stage_version: ClassVar[int] = 3

    dump: DumpStage | File = Field(
        description="stage that provides a dump, or its file (.xml, compressed or not)"
    )
    language: str = Field(description="language code of the texts, for the record")
    engine: Literal["wikiextractor", "fast"] = Field(
        "fast", description="engine that turns wikitext into text: our own, or the program wikiextractor"
    )
    headings: bool = Field(True, description="keep the headings of sections, one per line; False drops them")
    templates: bool = Field(
        True, description="expand templates, as far as wikiextractor can; False, or engine fast, drops them"
    )
    workers: Annotated[int, NOT_IN_KEY] = Field(
        0, ge=0, description="processes that extract at a time; 0: one per core"
    )
    page_seconds: Annotated[float, NOT_IN_KEY] = Field(
        30.0, gt=0, description="CPU seconds for one page, after which its extraction counts as failed"
    )
    idle_seconds: Annotated[float, NOT_IN_KEY] = Field(
        20.0,
        gt=0,
        description="seconds without output and CPU use, after which wikiextractor is started again",
    )
    memory_megabytes: Annotated[int, NOT_IN_KEY] = Field(
        2048, ge=256, description="MiB of address space of each process that extracts, its templates apart"
    )
    shard_megabytes: int = Field(
        8,
        ge=1,
        description="MiB of XML for one start of wikiextractor; a killed extraction repeats so much, and a "
        "sample is drawn from so many articles more",
    )

    @model_validator(mode="after")
    def _templates_have_an_effect(self) -> Self:
        if self.engine == "fast" and not self.templates:
            raise ValueError("templates has no effect with engine='fast', which drops them: leave it out")
        return self

    def check_files(self) -> None:
        """Raise InputError for a local file that is no XML, compressed or not, by its beginning."""
        if isinstance(self.dump, File):
            _check_is_text(self.dump)

    def build(self, work: Work) -> None:
        """Extract the dump; go on with what a killed run has left."""
        from ulmfit.corpus.wikiextractor.extraction import Limits
        from ulmfit.corpus.wikipedia import Extractor, dump_files, extract_dumps

        source = work.file(self.dump) if isinstance(self.dump, File) else work.input(self.dump)
        limits = Limits(
            workers=self.workers,
            page_seconds=self.page_seconds,
            idle_seconds=self.idle_seconds,
            memory_megabytes=self.memory_megabytes,
        )
        extract_dumps(
            dump_files(source),
            work.folder,
            work.scratch(),
            language=self.language,
            selection=self.selection(),
            extractor=Extractor(self.engine, self.headings, self.templates),
            limits=limits,
            shard_bytes=self.shard_megabytes << 20,
            log=work.log,
            warn=work.warn,
        )


class ExtractedCorpus(CorpusStage):
    """What WikiExtractor wrote earlier: `<doc>` blocks or JSON lines, in a folder or a tar archive."""

    stage_name: ClassVar[str] = "corpus"
    stage_version: ClassVar[int] = 3

    archive: File = Field(
        description="folder, .tar.xz or .tar.gz of WikiExtractor's output, or one file of it"
    )
    first_megabytes: int | None = FIRST_MEGABYTES

    def check_files(self) -> None:
        """Raise InputError for a local file that is neither text nor an archive, by its beginning."""
        _check_is_text(self.archive)

    def build(self, work: Work) -> None:
        """Read the archive once, without unpacking it."""
        from ulmfit.corpus.documents import Account, write_corpus
        from ulmfit.corpus.sources.beginning import beginning
        from ulmfit.corpus.sources.extracted import extracted_documents

        account = Account(self.archive.label)
        documents = extracted_documents(work.file(self.archive), account)
        documents = beginning(documents, account, self.first_megabytes)
        write_corpus(documents, work.folder, work.scratch(), account, self.selection(), work.log)


class TextFiles(CorpusStage):
    """Plain text, CSV, TSV, JSON, JSON Lines or Parquet: files, or a folder or tar archive of them.

    Files may be compressed (.bz2, .gz, .xz, .zst); inside of an archive Parquet is refused.
    """

    stage_name: ClassVar[str] = "corpus"
    stage_version: ClassVar[int] = 3

    files: File | tuple[File, ...] = Field(description="file, folder or tar archive, or several of them")
    document: Literal["file", "line", "paragraphs"] = Field(
        "file",
        description="what becomes a document: the whole text file, one line, or the lines up to a blank one",
    )
    max_words: int | None = Field(
        None,
        ge=1,
        description="words (corpus/words.py) at which a longer text is cut, at the end of a line; "
        "None never cuts",
    )
    text_column: str = Field(
        "text", description="column of the texts in tables, which are CSV, TSV, JSON and Parquet"
    )
    id_column: str | None = Field(None, description="column of the ids in tables; None numbers the rows")
    first_megabytes: int | None = FIRST_MEGABYTES

    def check_files(self) -> None:
        """Raise InputError for local files that are no text, and tables that `build` would refuse."""
        from ulmfit.corpus.sources.text_files import check_text_file

        for file in self._files():
            _check_is_text(file)
            if file.path is not None:
                check_text_file(file.path, self._form())

    def build(self, work: Work) -> None:
        """Read the files once."""
        from ulmfit.corpus.documents import Account, write_corpus
        from ulmfit.corpus.sources.beginning import beginning
        from ulmfit.corpus.sources.text_files import text_documents

        files = self._files()
        inputs: list[tuple[str, Path]] = [(file.label, work.file(file)) for file in files]
        account = Account(" + ".join(file.label for file in files))
        documents = text_documents(inputs, self._form(), account, work.warn)
        documents = beginning(documents, account, self.first_megabytes)
        write_corpus(documents, work.folder, work.scratch(), account, self.selection(), work.log)

    def _files(self) -> tuple[File, ...]:
        return self.files if isinstance(self.files, tuple) else (self.files,)

    def _form(self) -> Form:
        from ulmfit.corpus.sources.text_files import Form

        return Form(self.document, self.max_words, self.text_column, self.id_column)


class JoinedCorpus(CorpusStage):
    """Several corpora as one; every document keeps the split that it has, so the fractions have no effect.

    A part weighs less with limits of its own (`max_tokens` of the part) and more with `times`.
    """

    stage_name: ClassVar[str] = "corpus"
    stage_version: ClassVar[int] = 3

    parts: tuple[CorpusStage, ...] = Field(min_length=1, description="the corpora, in this order")
    times: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="how often the training documents of each part occur, one number per part; (): once"
    )
    test_part: int | None = Field(
        None,
        ge=0,
        description="number of the part, from 0, that is the published test split, all of it; test documents "
        "of the others are for validation then. None: every document keeps its split",
    )

    @model_validator(mode="after")
    def _every_part_has_a_number(self) -> Self:
        if self.times and len(self.times) != len(self.parts):
            raise ValueError(f"times has {len(self.times)} numbers for {len(self.parts)} parts")
        if self.test_part is not None:
            if self.test_part >= len(self.parts):
                raise ValueError(
                    f"test_part {self.test_part}: the parts are numbered 0 to {len(self.parts) - 1}"
                )
            if self.times and self.times[self.test_part] > 1:
                raise ValueError(f"times: part {self.test_part} is the test split, which is read once")
        return self

    def build(self, work: Work) -> None:
        """Put the parts together; ids get the number of their part as a prefix."""
        from ulmfit.corpus.documents import write_corpus
        from ulmfit.corpus.sources.joined import count_parts, joined_account, joined_documents

        folders = [work.input(part) for part in self.parts]
        times = self.times or (1,) * len(folders)
        account = joined_account(folders, times)
        documents = joined_documents(folders, times, self.test_part)
        write_corpus(documents, work.folder, work.scratch(), account, self.selection(), work.log)
        for part, taken in zip(account.more["parts"], count_parts(work.folder, len(folders)), strict=True):
            work.log(f"{taken['documents']:,} documents, {taken['words']:,} words from {part['source']}")
