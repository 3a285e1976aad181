"""Files of a public repository at a commit: downloaded as its archive, chosen, packed and checked.

A server may pack the archive of a commit anew, with other bytes. So what is checked is what is in it: the
SHA-256 of a listing of the chosen files. Anybody can repeat that in the folder of the unpacked file:

    find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Literal
from xml.etree import ElementTree

from pydantic import Field

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path, packed_suffix
from ulmfit.pipeline.settings import Settings
from ulmfit.pipeline.streams import DAMAGE, READ_BYTES, unpacked

LARGEST_ARCHIVE = 4_000_000_000
"""Bytes of an archive that is downloaded, and of all files that are read from one."""
FASTEST = 0
"""Level of xz: a cache is written often enough, and read once."""


class Repository(Settings):
    """Files of a public repository at a commit, of which a catalogued file is made (`fetch_repository`)."""

    address: str = Field(
        pattern=r"^https://[\w.-]+/[\w.-]+/[\w.-]+$",
        description="the repository, such as https://github.com/a/b",
    )
    commit: str = Field(pattern="^[0-9a-f]{40}$", description="the commit, 40 hexadecimal digits")
    paths: tuple[str, ...] = Field(
        min_length=1,
        description="paths or patterns such as texts/*.xml, in the order in which the files are packed; "
        "those of one pattern are in the order of their names",
    )
    folder: str = Field(
        "", pattern=r"^(?:[\w-]+/)*$", description="folder of the files in the packed file; empty: none"
    )
    form: Literal["as they are", "tei"] = Field(
        "as they are", description="tei: of each TEI document (.xml) its paragraphs and headings as .txt"
    )
    contents: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of the listing of the packed files (`contents_of`); empty: not known, "
        "noted at the first download in pins.toml beside the recipe",
    )

    @property
    def url(self) -> str:
        """Address of the archive of all files of the commit."""
        return f"{self.address}/archive/{self.commit}.tar.gz"

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"{self.address.removeprefix('https://')} at {self.commit[:7]}"


def fetch_repository(repository: Repository, target: Path, log: Callable[[str], None]) -> None:
    """Download the repository's archive and write the chosen files, packed as the name says, to `target`.

    Raises InputError where the archive lacks a path, or where the files are not those of
    `repository.contents`.
    """
    from ulmfit.pipeline.download import download

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".repository-") as folder:
        archive = Path(folder) / "archive.tar.gz"
        download(repository.url, archive, sums={}, largest=LARGEST_ARCHIVE, log=log)
        chosen = _chosen(archive, repository, Path(folder))
        archive.unlink()
        with atomic_path(target) as temporary:
            _pack(chosen, repository, target.name, temporary)
    if repository.contents and (found := contents_of(target)) != repository.contents:
        target.unlink()
        raise InputError(
            f"{repository.label}: the files that arrived are not the expected ones: contents {found} instead "
            f"of {repository.contents}"
        )


def contents_of(path: Path) -> str:
    """Return the SHA-256 of the listing of a tar archive's files, or of a single file, compressed or not.

    A line per file, sorted by name: the SHA-256 of its content, two spaces, its name, as `sha256sum` writes.
    Raises InputError for damaged data.
    """
    try:
        lines = sorted((name, f"{digest}  {name}\n") for name, digest in _digests(path))
    except (*DAMAGE, OSError) as error:
        raise InputError(f"{path} is damaged: {error}; remove it, and it is fetched again") from error
    return hashlib.sha256("".join(line for _, line in lines).encode()).hexdigest()


def _digests(path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as packed:
        content = unpacked(packed, path.name)
        if not _is_tar(path.name):
            yield path.name.removesuffix(packed_suffix(path.name)), _digest(content)
            return
        with tarfile.open(fileobj=content, mode="r|") as archive:
            for member in archive:
                if member.isfile() and (stream := archive.extractfile(member)) is not None:
                    yield member.name.removeprefix("./"), _digest(stream)


def _is_tar(name: str) -> bool:
    return name.removesuffix(packed_suffix(name)).endswith(".tar")


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _chosen(archive: Path, repository: Repository, folder: Path) -> list[tuple[str, Path]]:
    """Return name and place of the files that the paths name, in the order of the paths and of the names.

    Names of the archive never become places on the disk: the files are numbered.
    """
    found: dict[str, Path] = {}
    size = 0
    try:
        with (
            archive.open("rb") as packed,
            tarfile.open(fileobj=unpacked(packed, archive.name), mode="r|") as tar,
        ):
            for member in tar:
                name = member.name.partition("/")[2]
                if not member.isfile() or not any(fnmatchcase(name, path) for path in repository.paths):
                    continue
                size += member.size
                if size > LARGEST_ARCHIVE:
                    raise InputError(
                        f"{repository.label}: its files have more than {LARGEST_ARCHIVE:,} bytes"
                    )
                stream = tar.extractfile(member)
                assert stream is not None
                found[name] = folder / str(len(found))
                with found[name].open("wb") as copy:
                    shutil.copyfileobj(stream, copy, READ_BYTES)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{repository.label}: the archive that arrived is damaged: {error}") from error
    ordered: dict[str, Path] = {}
    for path in repository.paths:
        names = sorted(name for name in found if fnmatchcase(name, path))
        if not names:
            raise InputError(f"{repository.label} has no file {path}: expected one at that commit")
        ordered |= {name: found[name] for name in names if name not in ordered}
    return list(ordered.items())


def _pack(chosen: list[tuple[str, Path]], repository: Repository, name: str, target: Path) -> None:
    """Write the files as the packed file called `name` has them: a tar archive, or one compressed file."""
    if not _is_tar(name):
        if len(chosen) > 1:
            raise InputError(f"{repository.label}: {len(chosen)} files match, {name} has room for one")
        with chosen[0][1].open("rb") as source, _writer(target, packed_suffix(name)) as copy:
            shutil.copyfileobj(source, copy, READ_BYTES)
        return
    with _writer(target, packed_suffix(name)) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        for path, place in chosen:
            content_name, content = path.rpartition("/")[2], place
            if repository.form == "tei":
                content_name = f"{content_name.removesuffix('.xml')}.txt"
                content.write_text(_text_of_tei(place, path), encoding="utf-8")
            member = tarfile.TarInfo(f"{repository.folder}{content_name}")
            member.size = content.stat().st_size
            with content.open("rb") as source:
                archive.addfile(member, source)


def _writer(target: Path, suffix: str) -> Any:
    """Return a file to write to, compressed as the suffix says."""
    if suffix == ".xz":
        import lzma

        return lzma.open(target, "wb", preset=FASTEST)
    if suffix == ".bz2":
        import bz2

        return bz2.open(target, "wb")
    if suffix == ".gz":
        import gzip

        return gzip.open(target, "wb")
    return target.open("wb")


def _text_of_tei(place: Path, name: str) -> str:
    """Return the paragraphs and headings of a TEI document's body, a line each, with plain spaces."""
    content = place.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise InputError(f"{name} defines entities, which no TEI file here does: it is not read")
    try:
        body = ElementTree.fromstring(content).find(f".//{TEI}body")
    except ElementTree.ParseError as error:
        raise InputError(f"{name} is not XML: {error}") from error
    if body is None:
        raise InputError(f"{name} has no body: expected a TEI document")
    lines = (" ".join("".join(one.itertext()).split()) for one in body.iter() if one.tag in TEI_LINES)
    return "".join(f"{line}\n" for line in lines if line)


TEI = "{http://www.tei-c.org/ns/1.0}"
TEI_LINES = frozenset({f"{TEI}{name}" for name in ("p", "head", "l")})
