"""Downloads the dump of one date and checks it against the checksums published with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from ulmfit.download import NotFound, download, fetch_text
from ulmfit.errors import InputError

_PART = re.compile(r"-pages-articles\d+\.xml(-p\d+p\d+)?\.bz2")


def download_dump(
    language: str, date: str, base_url: str, folder: Path, log: Callable[[str], None]
) -> list[Path]:
    """Download the article dump of `language` and `date` into `folder`; return its parts in their order.

    Raises InputError when the server no longer offers the date; the message lists the dates that it offers.
    """
    wiki = language.replace("-", "_") + "wiki"
    address = f"{base_url.rstrip('/')}/{wiki}/{date}"
    try:
        listing = fetch_text(f"{address}/{wiki}-{date}-sha1sums.txt", log=log)
    except NotFound as error:
        raise InputError(_missing(wiki, date, base_url, log)) from error
    files = _article_files(listing, f"{wiki}-{date}")
    if not files:
        raise InputError(
            f"the checksum list of {wiki} {date} names no pages-articles dump; it may still be under way: "
            f"choose an earlier date"
        )
    for name, sha1 in files:
        target = folder / _local_name(name)
        if target.exists() and _sha1(target) == sha1:
            log(f"{name} is there already")
            continue
        log(f"downloading {name}")
        download(f"{address}/{name}", target, sha1=sha1, log=log)
    return [folder / _local_name(name) for name, _ in files]


def _local_name(name: str) -> str:
    """Return the name on disk, which ends in .xml.bz2 for the parts of a dump as well."""
    return re.sub(r"\.xml(-p\d+p\d+)\.bz2$", r"\1.xml.bz2", name)


def _article_files(listing: str, prefix: str) -> list[tuple[str, str]]:
    """Return name and sha1 of the single article dump, or of its parts where there is no single one."""
    entries = [line.split() for line in listing.splitlines()]
    sums = {
        entry[1]: entry[0] for entry in entries if len(entry) == 2 and re.fullmatch("[0-9a-f]{40}", entry[0])
    }
    single = f"{prefix}-pages-articles.xml.bz2"
    if single in sums:
        return [(single, sums[single])]
    parts = [name for name in sums if name.startswith(prefix) and _PART.fullmatch(name.removeprefix(prefix))]
    parts.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name.removeprefix(prefix))])
    return [(name, sums[name]) for name in parts]


def _missing(wiki: str, date: str, base_url: str, log: Callable[[str], None]) -> str:
    try:
        page = fetch_text(f"{base_url.rstrip('/')}/{wiki}/", log=log)
    except NotFound:
        return f"{base_url} has no wiki named {wiki}; check the language's code"
    dates = sorted(set(re.findall(r'href="(\d{8})/?"', page)))
    return (
        f"there is no dump of {wiki} of {date}: dumps vanish after some months; "
        f"the server still offers {', '.join(dates) or 'none'}"
    )


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
