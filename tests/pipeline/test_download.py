"""Downloads: broken off, refused, wrong, and in the end whole or not there."""

from __future__ import annotations

import hashlib
import io
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.serving import Site, serving

from ulmfit.pipeline import download as module
from ulmfit.pipeline import progress
from ulmfit.pipeline.download import ATTEMPTS, LONGEST_PAUSE, NotFound, download, fetch_text
from ulmfit.pipeline.errors import InputError, StageFailed

DATA = random.Random(1).randbytes(300_000)
MD5, SHA1, SHA256 = (hashlib.new(name, DATA).hexdigest() for name in ("md5", "sha1", "sha256"))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={"/f.bin": DATA})) as running:
        yield running


def get(site: Site, target: Path, size: int | None = None, **sums: str) -> list[str]:
    lines: list[str] = []
    download(f"{site.url}/f.bin", target, sums=sums, size=size, log=lines.append, pause=0.001)
    assert target.read_bytes() == DATA
    assert list(target.parent.iterdir()) == [target]
    return lines


def test_plain(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path / "f.bin", len(DATA), md5=MD5, sha1=SHA1, sha256=SHA256.upper())
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
    get(site, tmp_path / "f.bin", size, sha1=SHA1)
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
        ({"md5": "0" * 32}, "md5 .* instead of 000"),
        ({"size": 7}, "more than 7 bytes"),
    ],
)
def test_wrong_bytes_are_removed(site: Site, tmp_path: Path, checks: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        get(site, tmp_path / "f.bin", **checks)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_another_try_would_not_change(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        download(f"{site.url}/other", tmp_path / "f", sums={}, log=print)
    site.errors = [403]
    with pytest.raises(InputError, match=r"refuses it .HTTP 403"):
        download(f"{site.url}/f.bin", tmp_path / "f", sums={}, log=print)
    for url in ("file:///etc/passwd", "no address", "http://", "http://[::1", "http://a:b/", "ftp://a/b"):
        with pytest.raises(InputError, match="no address to download from"):
            download(url, tmp_path / "f", sums={}, log=print)
    assert len(site.requests) == 2


def test_a_server_that_stays_away(tmp_path: Path) -> None:
    with serving(Site()) as site:
        pass
    with pytest.raises(StageFailed, match=f"after {ATTEMPTS} tries"):
        download(f"{site.url}/f.bin", tmp_path / "f", sums={}, log=lambda _: None, pause=0.001)


@pytest.mark.parametrize("no_length", [True, False])
@pytest.mark.parametrize("earlier", [b"", DATA[:1000]])
def test_no_more_is_taken_than_was_said(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_length: bool, earlier: bytes
) -> None:
    monkeypatch.setattr(module, "BLOCK", 1000)
    site.files["/f.bin"], site.no_length = bytes(50_000_000), no_length
    taken: list[int] = []
    too_long = module._too_long
    monkeypatch.setattr(module, "_too_long", lambda *a: taken.append(a[0].stat().st_size) or too_long(*a))
    if earlier:
        (tmp_path / "f.bin.part").write_bytes(earlier)
    with pytest.raises(InputError, match="more than 1,200 bytes; it was removed"):
        download(f"{site.url}/f.bin", tmp_path / "f.bin", sums={"md5": MD5}, size=1200, log=print, pause=0)
    assert max(taken) <= 1200 + 1000
    assert not list(tmp_path.iterdir())


def test_a_file_of_unknown_size_has_a_bound(site: Site, tmp_path: Path) -> None:
    site.no_length = True
    url, sums = f"{site.url}/f.bin", {"sha1": SHA1}
    with pytest.raises(InputError, match="more than 299,999 bytes, the most that is taken of a file whose"):
        download(url, tmp_path / "f.bin", sums=sums, largest=299_999, log=print)
    assert not list(tmp_path.iterdir())
    download(url, tmp_path / "f.bin", sums=sums, largest=300_000, log=print)
    assert (tmp_path / "f.bin").read_bytes() == DATA


def test_a_text_has_a_bound_and_a_broken_one_is_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/t"] = b"x" * 1000
    monkeypatch.setattr(module, "LARGEST_TEXT", 1000)
    site.break_after = [10]
    assert fetch_text(f"{site.url}/t", log=print, pause=0) == "x" * 1000
    for site.no_length in (True, False):
        site.files["/t"] = b"x" * 1001
        with pytest.raises(InputError, match="more than 1,000 bytes: no list of checksums"):
            fetch_text(f"{site.url}/t", log=print)


@pytest.mark.parametrize("address", ["ftp://localhost/f", "file:///etc/passwd", "http://[::1", "gopher://a/"])
def test_a_server_leads_to_addresses_of_the_web_alone(site: Site, tmp_path: Path, address: str) -> None:
    site.errors, site.headers = [302], {"Location": address}
    with pytest.raises(InputError, match=r"no address to download from|refuses it .HTTP 302"):
        download(f"{site.url}/f.bin", tmp_path / "f", sums={}, log=print, pause=0)
    assert len(site.requests) == 1


def test_a_server_may_lead_to_another_address(site: Site, tmp_path: Path) -> None:
    site.files["/g.bin"] = DATA
    site.errors, site.headers = [302], {"Location": f"{site.url}/g.bin"}
    download(f"{site.url}/f.bin", tmp_path / "f.bin", sums={"md5": MD5}, log=print)
    assert [path for path, _, _ in site.requests] == ["/f.bin", "/g.bin"]


@pytest.mark.parametrize("number", ["\xb2", "-1", "9" * 5000, "1_0", ""])
def test_numbers_of_a_server_that_are_none_say_nothing(number: str) -> None:
    assert module._number(number) is None
    assert module._number("12") == 12


def test_text(site: Site) -> None:
    site.files["/t"] = "ż".encode()
    assert fetch_text(f"{site.url}/t", log=print) == "ż"


def test_the_pauses_double_and_a_server_may_ask_for_more(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    site.errors, site.headers = [503, 503, 503], {"Retry-After": "7"}
    download(f"{site.url}/f.bin", tmp_path / "a", sums={}, log=lambda _: None, pause=3.0)
    assert pauses == [7, 7, 12]
    site.errors, site.headers = [503] * ATTEMPTS, {}
    with pytest.raises(StageFailed, match="HTTP 503"):
        download(f"{site.url}/f.bin", tmp_path / "b", sums={}, log=lambda _: None, pause=3.0)
    assert pauses[3:] == [3, 6, 12, 24, 48, LONGEST_PAUSE, LONGEST_PAUSE]


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
def test_share_rate_and_time_left_are_said(
    told: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress.sys, "stderr", io.StringIO())
    site.files["/f.bin"] = bytes(2_500_000)
    site.no_length = not told
    (tmp_path / "f.bin.part").write_bytes(bytes(1_000_000))
    lines: list[str] = []
    download(f"{site.url}/f.bin", tmp_path / "f.bin", sums={}, log=lines.append)
    last = r"67% of 3 MB, [\d.,]+/s, \d+:\d\d left" if told else r"2 MB, [\d.,]+/s"
    assert re.fullmatch(last, lines[-1]), lines


def test_wrong_bytes_of_the_server_after_a_right_beginning(site: Site, tmp_path: Path) -> None:
    """A break, then the rest of another file: the sum tells; the next try begins anew."""
    site.files["/f.bin"] = DATA[:150_000] + bytes(150_000)
    (tmp_path / "f.bin.part").write_bytes(DATA[:150_000])
    with pytest.raises(InputError, match="is not the expected one"):
        get(site, tmp_path / "f.bin", sha1=SHA1)
    assert not list(tmp_path.iterdir())
    assert [asked for _, asked, _ in site.requests] == ["bytes=150000-", None]
    site.files["/f.bin"] = DATA
    get(site, tmp_path / "f.bin", sha1=SHA1)


def test_a_server_that_falls_silent(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    site.break_after, site.stall = [100_000], True
    get(site, tmp_path / "f.bin", sha1=SHA1)
    assert [asked for _, asked, _ in site.requests] == [None, "bytes=100000-"]


def test_another_range_than_asked_for_is_not_appended(site: Site, tmp_path: Path) -> None:
    site.shifted_ranges = 1
    (tmp_path / "f.bin.part").write_bytes(DATA[:1000])
    get(site, tmp_path / "f.bin", sha1=SHA1)


def test_a_killed_download_goes_on_from_its_part(site: Site, tmp_path: Path) -> None:
    """The part is on disk while the download runs, and the name appears only with the whole file."""
    site.break_after, site.errors = [100_000], []
    program = (
        "import sys; from pathlib import Path; from ulmfit.pipeline.download import download; "
        "download(sys.argv[1], Path(sys.argv[2]), sums={}, log=print, pause=600)"
    )
    command = [sys.executable, "-c", program, f"{site.url}/f.bin", str(tmp_path / "f.bin")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()  # it says that it will try again, and waits
    process.kill()
    process.communicate()
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"f.bin.part": 100_000}
    get(site, tmp_path / "f.bin", sha256=SHA256)
    assert site.requests[-1][1] == "bytes=100000-"
