"""The beginning of a dump, for trials: no more of it is downloaded, unpacked and read."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ulmfit.corpus.stages import DumpStage, Wikipedia
from ulmfit.pipeline.assets import File
from ulmfit.pipeline.stage import Work

MEGABYTES = Field(20, ge=1, description="MB of XML from the beginning of the dump, up to the end of a page")


class DumpBeginning(DumpStage):
    """The first pages of a dump that is here, as a dump of its own: `beginning.xml`."""

    stage_name: ClassVar[str] = "dump-beginning"

    dump: DumpStage | File = Field(description="stage that provides a dump, or its file")
    megabytes: int = MEGABYTES

    def build(self, work: Work) -> None:
        """Copy the first pages."""
        from ulmfit.corpus.dumps.beginning import BEGINNING, write_beginning
        from ulmfit.corpus.dumps.stream import DumpStream
        from ulmfit.corpus.wikipedia import dump_files

        source = work.file(self.dump) if isinstance(self.dump, File) else work.input(self.dump)
        first = dump_files(source)[0]
        write_beginning(DumpStream(first).blocks(), work.folder / BEGINNING, self.megabytes, first.name)


class WikipediaBeginning(Wikipedia):
    """The first pages of a Wikipedia's dump, of which no more is downloaded: `beginning.xml`.

    It is checked against no published sum: there is none of a part.
    """

    stage_name: ClassVar[str] = "dump-beginning"

    megabytes: int = MEGABYTES

    def build(self, work: Work) -> None:
        """Take the first pages from the mirror, or download them."""
        from ulmfit.corpus.dumps.beginning import wikipedia_beginning

        self.check_date()
        wikipedia_beginning(
            self.language, self.date, self.base_url, work.folder, self.megabytes, work.log, work.mirror
        )
        work.warn("only the beginning of the dump was read, which no published checksum is of")
