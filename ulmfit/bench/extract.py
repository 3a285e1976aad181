"""`ulmfit bench extract`: dump -> documents, both engines beside wikiextractor itself; speed, or quality."""

from __future__ import annotations

import bz2
import sys
from collections.abc import Mapping
from pathlib import Path

from ulmfit.bench import quality
from ulmfit.bench.compare import Case, Log, compare, speed_report
from ulmfit.bench.measure import Program
from ulmfit.bench.run import Options, Report
from ulmfit.pipeline.errors import InputError

USES = frozenset({"dump", "reference", "megabytes"})
ENGINES = ("fast", "wikiextractor")
GENERATED_MEGABYTES = 30
XML_BYTES_PER_TOY_ARTICLE = 6_000
BLOCK = 1 << 20


def run(options: Options, folder: Path, log: Log) -> Report:
    """Compare the texts with references where these are asked for, else the speed."""
    if options.reference is not None:
        if options.dump is not None:
            raise InputError(f"--reference names the folder of the dumps: leave {options.dump} out")
        return quality.run(options.reference, folder, log)
    if options.dump is None:
        dump = toy_dump(folder, options.megabytes or GENERATED_MEGABYTES, log)
    else:
        dump = options.dump.absolute()
    size = xml_bytes(dump)
    stock = _stock(dump)
    cases = [
        Case(f"{engine} engine", _ours(engine, dump), stock, size / 1e6, "XML MB/s") for engine in ENGINES
    ]
    described = {"dump": dump.name, "xml_bytes": size, "file_bytes": dump.stat().st_size}
    return speed_report("extract", compare(cases, options.repetitions, folder, log), described)


def toy_dump(folder: Path, megabytes: int, log: Log) -> Path:
    """Write a dump in the invented language with about that many MB of XML."""
    from ulmfit.toy.wikipedia import write_dump

    log(f"generating a dump with about {megabytes} MB of XML")
    path = folder / "toywiki-pages-articles.xml.bz2"
    write_dump(path, seed=0, articles=max(1, megabytes * 1_000_000 // XML_BYTES_PER_TOY_ARTICLE))
    return path


def xml_bytes(dump: Path) -> int:
    """Return the size of a dump's XML; raises InputError for what is no dump."""
    if not dump.is_file():
        raise InputError(f"there is no file {dump}; expected a dump, .xml.bz2 or .xml")
    head, size = b"", 0
    try:
        with bz2.open(dump) if dump.suffix == ".bz2" else dump.open("rb") as file:
            while block := file.read(BLOCK):
                head, size = head or block[:BLOCK], size + len(block)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"dump {dump} cannot be read ({error}): download it again") from error
    if b"<mediawiki" not in head:
        raise InputError(f"{dump} is no dump: expected an XML export of MediaWiki, .xml.bz2 or .xml")
    return size


def _ours(engine: str, dump: Path) -> Program:
    command = ("-m", "ulmfit", "extract", str(dump), "out", "--engine", engine)
    return Program(f"ulmfit, {engine} engine", (sys.executable, "-P", *command), _count_ours)


def _stock(dump: Path) -> Program:
    """Return wikiextractor as its users start it, with its default processes."""
    command = quality.wikiextractor_command(dump, Path("out"))
    return Program("wikiextractor", command, _count_stock)


def _count_ours(folder: Path, output: str) -> Mapping[str, float]:
    from ulmfit.corpus.stored import document_count

    return {"documents": document_count(folder / "out")}


def _count_stock(folder: Path, output: str) -> Mapping[str, float]:
    lines = 0
    for path in (folder / "out").rglob("wiki_*"):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    return {"documents": lines}
