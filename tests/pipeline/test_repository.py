"""Files of a repository at a commit: chosen, packed as a mirror's copy is, and held to their contents."""

from __future__ import annotations

import bz2
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from ulmfit.pipeline import download
from ulmfit.pipeline.assets import Catalogue, File, fetch
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import sha256_of
from ulmfit.pipeline.pins import FILES, Pins, pin_file
from ulmfit.pipeline.repository import Repository, contents_of

COMMIT = "0123456789" * 4
ADDRESS = "https://example.org/owner/texts"
TEI = "<TEI xmlns='http://www.tei-c.org/ns/1.0'>{}</TEI>"
NOVEL = TEI.format(
    "<teiHeader><p>no</p></teiHeader><text><front><p>no</p></front><body><div><head>I</head>"
    "<p>One \n <emph>two</emph>.</p><p> </p></div></body></text>"
)
MEMBERS = {
    "b/two.txt": "second\n",
    "b/one.txt": "first\n",
    "novels/x.xml": NOVEL,
    "dump.xml": "<mediawiki/>",
    "README.md": "no",
}


def archive(members: dict[str, str] = MEMBERS) -> bytes:
    """Return what a server sends for a commit: all files below a folder of its own, and a link."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name, text in members.items():
            member = tarfile.TarInfo(f"texts-{COMMIT}/{name}")
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo(f"texts-{COMMIT}/b/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    return content.getvalue()


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked for; every one gives the archive."""
    asked: list[str] = []

    def give(url: str, target: Path, **checks: object) -> None:
        asked.append(url)
        target.write_bytes(archive())

    monkeypatch.setattr(download, "download", give)
    return asked


def quiet(_: str) -> None:
    """Log nothing."""


def listing(files: dict[str, str]) -> str:
    """Return what `sha256sum` of the sorted files gives, hashed once more."""
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def repository(*paths: str, **fields: object) -> Repository:
    return Repository(address=ADDRESS, commit=COMMIT, paths=paths, **fields)


def members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as packed:
        return {one.name: packed.extractfile(one).read().decode() for one in packed}  # type: ignore[union-attr]


def test_files_are_packed_in_the_order_of_the_paths(tmp_path: Path, served: list[str]) -> None:
    packed = {"AA/two.txt": "second\n", "AA/one.txt": "first\n"}
    source = repository("b/two.txt", "b/*.txt", folder="AA/", contents=listing(packed))
    path = fetch(File(name="texts.tar.xz", repository=source), tmp_path, None, quiet)
    assert served == [f"{ADDRESS}/archive/{COMMIT}.tar.gz"]
    assert list(members(path).items()) == list(packed.items())
    assert contents_of(path) == source.contents
    assert [one.name for one in path.parent.iterdir() if not one.name.endswith(".lock")] == ["texts.tar.xz"]
    assert fetch(File(name="texts.tar.xz", repository=source), tmp_path, None, quiet) == path
    assert len(served) == 1


def test_of_tei_documents_the_paragraphs_of_the_body_are_taken(tmp_path: Path) -> None:
    source = repository("novels/*.xml", form="tei", contents=listing({"x.txt": "I\nOne two.\n"}))
    path = fetch(File(name="novels.tar.gz", repository=source), tmp_path, None, quiet)
    assert members(path) == {"x.txt": "I\nOne two.\n"}


def test_a_single_file_is_compressed_as_its_name_says(tmp_path: Path) -> None:
    source = repository("dump.xml", contents=listing({"dump.xml": "<mediawiki/>"}))
    path = fetch(File(name="dump.xml.bz2", repository=source), tmp_path, None, quiet)
    assert bz2.decompress(path.read_bytes()) == b"<mediawiki/>"


def test_a_copy_of_a_mirror_is_the_same_file_whatever_its_compression(
    tmp_path: Path, served: list[str]
) -> None:
    (tmp_path / "mirror").mkdir()
    copy = tmp_path / "mirror" / "dump.xml.bz2"
    copy.write_bytes(bz2.compress(b"<mediawiki/>", 1))
    source = repository("dump.xml", contents=listing({"dump.xml": "<mediawiki/>"}))
    known = File(name="dump.xml.bz2", repository=source, sha256="0" * 64)
    assert fetch(known, tmp_path / "cache", tmp_path / "mirror", quiet) == copy
    copy.write_bytes(bz2.compress(b"other"))
    assert fetch(known, tmp_path / "cache", tmp_path / "mirror", quiet) != copy
    assert len(served) == 1


def test_other_contents_are_refused(tmp_path: Path) -> None:
    file = File(name="texts.tar", repository=repository("b/*.txt", contents="0" * 64))
    with pytest.raises(InputError, match="the files that arrived are not the expected ones: contents"):
        fetch(file, tmp_path, None, quiet)
    assert not list(tmp_path.rglob("texts.tar"))


@pytest.mark.parametrize(
    ("paths", "name", "message"),
    [
        (("c/*",), "texts.tar", "has no file c/"),
        (("b/*.txt",), "texts.bz2", "2 files match, texts.bz2 has room for one"),
        (("README.md",), "texts.tar", "README.md is not XML"),
    ],
)
def test_paths_that_do_not_fit_are_told(
    paths: tuple[str, ...], name: str, message: str, tmp_path: Path
) -> None:
    source = repository(*paths, form="tei", contents="0" * 64)
    with pytest.raises(InputError, match=message):
        fetch(File(name=name, repository=source), tmp_path, None, quiet)


def test_a_damaged_archive_and_entities_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File(name="n.tar", repository=repository("novels/*", form="tei", contents="0" * 64))
    entity = {"novels/x.xml": "<!DOCTYPE x [<!ENTITY a 'aa'>]>" + NOVEL}
    for content, message in ((archive()[:-40], "is damaged"), (archive(entity), "defines entities")):
        monkeypatch.setattr(
            download, "download", lambda url, target, content=content, **checks: target.write_bytes(content)
        )
        with pytest.raises(InputError, match=message):
            fetch(file, tmp_path, None, quiet)


def test_contents_that_nobody_has_seen_are_noted_at_the_first_download(
    tmp_path: Path, served: list[str]
) -> None:
    unseen = File(name="texts.tar.xz", repository=repository("b/*.txt"))
    with pytest.raises(InputError, match="its SHA-256 is not known before its first download"):
        fetch(unseen, tmp_path, None, quiet)
    pinned = pin_file(unseen, Pins(tmp_path), tmp_path / "cache", None, quiet)
    noted = listing({"one.txt": "first\n", "two.txt": "second\n"})
    assert Pins(tmp_path).get(FILES, f"{unseen.address}#texts.tar.xz") == pinned.known_hash == noted
    assert pin_file(unseen, Pins(tmp_path), tmp_path / "cache", None, quiet) == pinned
    assert members(fetch(pinned, tmp_path / "cache", None, quiet)).keys() == {"one.txt", "two.txt"}
    assert len(served) == 1


def test_two_files_of_one_commit_have_notes_of_their_own(tmp_path: Path, served: list[str]) -> None:
    for name, content in (("one.txt", "first\n"), ("two.txt", "second\n")):
        unseen = File(name=name, repository=repository(f"b/{name}"))
        pinned = pin_file(unseen, Pins(tmp_path), tmp_path / "cache", None, quiet)
        assert fetch(pinned, tmp_path / "cache", None, quiet).read_text("utf-8") == content


def test_a_catalogue_names_repositories(tmp_path: Path) -> None:
    path = tmp_path / "assets.toml"
    path.write_text(
        f'[a]\nfile = "a.tar.xz"\naddress = "{ADDRESS}"\ncommit = "{COMMIT}"\npaths = ["b/*"]\n', "utf-8"
    )
    assert Catalogue(path)["a"] == File(name="a.tar.xz", repository=repository("b/*"))
    with pytest.raises(ValidationError, match="needs the repository's contents"):
        File(name="a.tar.xz", sha256="0" * 64, repository=repository("b/*"))
    for wrong in ({"commit": "main"}, {"address": "http://example.org/a/b"}, {"paths": ()}):
        with pytest.raises(ValidationError):
            Repository(**{"address": ADDRESS, "commit": COMMIT, "paths": ("b/*",), **wrong})


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        pytest.param("dewiki-extracted", "de-wikipedia-extracted", marks=pytest.mark.soak),
        pytest.param("pl-novels", "pl-novels", marks=pytest.mark.soak),
        ("ltgwiki", "dumps"),
    ],
)
def test_packed_files_hold_what_their_repositories_do(key: str, folder: str, shared_data: Path) -> None:
    file = Catalogue(Path(__file__).parents[2] / "data_scripts" / "assets.toml")[key]
    packed = shared_data / folder / file.name
    assert sha256_of(packed) == file.sha256
    assert file.repository is not None and contents_of(packed) == file.repository.contents
