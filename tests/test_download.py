"""Downloads: broken off, refused, wrong, and in the end whole or not there."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.serving import Site, serving

from ulmfit.download import ATTEMPTS, NotFound, download, fetch_text
from ulmfit.errors import InputError, StageFailed

DATA = random.Random(1).randbytes(300_000)
SHA1, SHA256 = hashlib.sha1(DATA).hexdigest(), hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={"/f.bin": DATA})) as running:
        yield running


def get(site: Site, target: Path, **checks: Any) -> list[str]:
    lines: list[str] = []
    download(f"{site.url}/f.bin", target, log=lines.append, pause=0.001, **checks)
    assert target.read_bytes() == DATA
    assert list(target.parent.iterdir()) == [target]
    return lines


def test_plain(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path / "f.bin", sha1=SHA1, sha256=SHA256.upper(), size=len(DATA))
    (request,) = site.requests
    assert request[2].startswith("ulmfit/")


def test_goes_on_after_breaks_without_loading_anything_twice(site: Site, tmp_path: Path) -> None:
    site.break_after = [100_000] + [20_000] * (ATTEMPTS + 1)
    get(site, tmp_path / "f.bin", sha256=SHA256)
    ranges = [asked for _, asked, _ in site.requests]
    assert ranges[:3] == [None, "bytes=100000-", "bytes=120000-"]


def test_goes_on_with_an_earlier_part(site: Site, tmp_path: Path) -> None:
    (tmp_path / "f.bin.part").write_bytes(DATA[:123])
    get(site, tmp_path / "f.bin", sha1=SHA1)
    assert site.requests[0][1] == "bytes=123-"


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_an_earlier_part_that_is_whole(site: Site, tmp_path: Path, size: int | None) -> None:
    (tmp_path / "f.bin.part").write_bytes(DATA)
    checks = {"size": size} if size else {}
    get(site, tmp_path / "f.bin", sha1=SHA1, **checks)
    assert len(site.requests) == (0 if size else 1)


def test_a_server_that_ignores_ranges(site: Site, tmp_path: Path) -> None:
    site.ignore_ranges = True
    site.break_after = [100_000]
    get(site, tmp_path / "f.bin", sha256=SHA256)


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * 400_000], ids=["shorter", "longer"])
def test_an_earlier_part_of_another_file(site: Site, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "f.bin.part").write_bytes(part)
    get(site, tmp_path / "f.bin", sha256=SHA256)


def test_passing_errors_of_the_server(site: Site, tmp_path: Path) -> None:
    site.errors = [503, 500, 429]
    lines = get(site, tmp_path / "f.bin", sha256=SHA256)
    assert [line.partition(": ")[2].partition(";")[0] for line in lines] == [
        "HTTP 503",
        "HTTP 500",
        "HTTP 429",
    ]


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"sha256": "0" * 64}, "sha256 .* instead of 000"),
        ({"sha1": "0" * 40}, "sha1 .* instead of 000"),
        ({"size": 7}, "300000 bytes instead of 7"),
    ],
)
def test_wrong_bytes_are_removed(
    site: Site, tmp_path: Path, checks: dict[str, str | int], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        get(site, tmp_path / "f.bin", **checks)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_another_try_would_not_change(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        download(f"{site.url}/other", tmp_path / "f", log=print)
    site.errors = [403]
    with pytest.raises(InputError, match=r"refuses it .HTTP 403"):
        download(f"{site.url}/f.bin", tmp_path / "f", log=print)
    for url in ("file:///etc/passwd", "no address", "http://"):
        with pytest.raises(InputError, match="no address to download from"):
            download(url, tmp_path / "f", log=print)
    assert len(site.requests) == 2


def test_a_server_that_stays_away(tmp_path: Path) -> None:
    with serving(Site()) as site:
        pass
    with pytest.raises(StageFailed, match=f"after {ATTEMPTS} tries"):
        download(f"{site.url}/f.bin", tmp_path / "f", log=lambda _: None, pause=0.001)


def test_text(site: Site) -> None:
    site.files["/t"] = "ż".encode()
    assert fetch_text(f"{site.url}/t", log=print) == "ż"
