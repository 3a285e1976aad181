"""Downloads the dump of one date, or takes it from a mirror; checked against the sums published with it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ulmfit.pipeline.assets import check_mirror, in_mirror
from ulmfit.pipeline.download import (
    LARGEST_DOWNLOAD,
    LARGEST_TEXT,
    NotFound,
    difference,
    download,
    fetch_text,
)
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_path

_SUM_DIGITS = {"sha1": 40, "md5": 32}
"""Kinds of published sums, the better one first."""
_KINDS_OF_DUMP = ("-pages-articles", "-pages-articles-multistream")
"""Both hold the same pages; the second is somewhat larger."""
_JOBS = ("articlesdump", "articlesmultistreamdump")
"""What `dumpstatus.json` calls them."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class _Published:
    """What is published as one dump: `prefix` is wiki and date, `sums` the sum of every file by its name."""

    prefix: str
    kind: str
    sums: Mapping[str, str]

    def complete_sets(self) -> list[list[str]]:
        """Return the sets of files that each hold all articles; the single file is the first where it is."""
        sets = []
        for kind in _KINDS_OF_DUMP:
            single = f"{self.prefix}{kind}.xml.bz2"
            parts = self._parts(f"{self.prefix}{kind}")
            sets += [[single]] if single in self.sums else []
            sets += [parts] if parts else []
        return sets

    def _parts(self, beginning: str) -> list[str]:
        """Return the numbered parts in their order, or nothing while one of the numbers is missing."""
        pattern = re.compile(re.escape(beginning) + r"(\d+)\.xml(?:-p(\d+)p(\d+))?\.bz2")
        found = [match for name in self.sums if (match := pattern.fullmatch(name))]
        found.sort(key=lambda match: [int(number or 0) for number in match.groups()])
        numbers = {int(match[1]) for match in found}
        return [match[0] for match in found] if numbers == set(range(1, len(numbers) + 1)) else []


def download_dump(
    language: str,
    date: str,
    base_url: str,
    folder: Path,
    log: Log,
    mirror: Path | None = None,
    largest: int = LARGEST_DOWNLOAD,
) -> list[Path]:
    """Bring the article dump of `language` and `date` into `folder`; return its parts in their order.

    `mirror` is searched first, for the list of sums as well as for the files. No more than `largest` bytes
    are taken of a file: the sums are published without sizes. Raises InputError when a file differs from its
    published sum, and when the server no longer offers the date; the message lists the dates that it offers.
    """
    wiki = _wiki(language)
    published, names = _files_of(wiki, date, base_url, log, mirror)
    _remove_others(folder, wiki, {_local_name(name) for name in names})
    for name in names:
        sums = {published.kind: published.sums[name]}
        target = folder / _local_name(name)
        if target.exists() and not difference(target, sums):
            log(f"{name} is there already")
        elif copy := mirror and _checked_copy(name, sums, mirror):
            log(f"copying {name} from the mirror")
            with atomic_path(target) as temporary:
                shutil.copyfile(copy, temporary)
        else:
            log(f"downloading {name}")
            download(
                f"{base_url.rstrip('/')}/{wiki}/{date}/{name}", target, sums=sums, largest=largest, log=log
            )
    return [folder / _local_name(name) for name in names]


def first_file(language: str, date: str, base_url: str, log: Log, mirror: Path | None = None) -> Path | str:
    """Return the first file of a dump: a path in the mirror where it has the dump, else an address."""
    wiki = _wiki(language)
    _, names = _files_of(wiki, date, base_url, log, mirror)
    if mirror is not None and (copies := in_mirror(mirror, names[0])):
        return copies[0]
    return f"{base_url.rstrip('/')}/{wiki}/{date}/{names[0]}"


def _files_of(
    wiki: str, date: str, base_url: str, log: Log, mirror: Path | None
) -> tuple[_Published, list[str]]:
    """Return what is published, and the names of the files that together are the dump, in their order."""
    published = mirror and _mirrored_sums(f"{wiki}-{date}", mirror, log)
    published = published or _published_sums(wiki, date, base_url, log)
    sets = published.complete_sets()
    if not sets:
        raise InputError(
            f"the checksum list of {wiki} {date} names no whole pages-articles dump; "
            f"it may still be under way: choose an earlier date"
        )
    return published, _set_in_mirror(sets, mirror) or sets[0]


def newest_date(
    language: str,
    base_url: str,
    log: Log,
    mirror: Path | None = None,
) -> str:
    """Return the date of the newest complete article dump, YYYYMMDD: of the mirror if it has one.

    Complete is a dump whose list of checksums names all its articles and whose status, where the server
    publishes one, says that they are done. Raises InputError where there is none.
    """
    wiki = _wiki(language)
    if mirror is not None and (dates := _mirrored_dates(wiki, mirror, log)):
        return dates[-1]
    dates = _offered_dates(wiki, base_url, log)
    for date in reversed(dates):
        published = _listed_sums(wiki, date, base_url, log)
        if published and published.complete_sets() and _is_finished(wiki, date, base_url, log):
            return date
        log(f"the dump of {wiki} of {date} is not complete yet; looking at the one before")
    raise InputError(
        f"{base_url} has no complete dump of {wiki}, only {', '.join(dates) or 'none'}: try again later"
    )


def _wiki(language: str) -> str:
    return language.replace("-", "_") + "wiki"


def _mirrored_dates(wiki: str, mirror: Path, log: Log) -> list[str]:
    """Return the dates, rising, of which the mirror has a whole dump and its list of checksums."""
    pattern = re.compile(re.escape(wiki) + r"-(\d{8})-(?:sha1|md5)sums\.txt")
    check_mirror(mirror)
    dates = {
        match[1] for path in mirror.rglob(f"{wiki}-*sums.txt") if (match := pattern.fullmatch(path.name))
    }
    found = []
    for date in sorted(dates):
        published = _mirrored_sums(f"{wiki}-{date}", mirror, log)
        if published and _set_in_mirror(published.complete_sets(), mirror):
            found.append(date)
    return found


def _is_finished(wiki: str, date: str, base_url: str, log: Log) -> bool:
    """Return whether the server says that the articles are done; True if it says nothing."""
    try:
        text = fetch_text(f"{base_url.rstrip('/')}/{wiki}/{date}/dumpstatus.json", log=log)
        jobs = json.loads(text)["jobs"]
        states = [jobs[name]["status"] for name in _JOBS if name in jobs]
    except (NotFound, ValueError, KeyError, TypeError):
        return True
    return not states or "done" in states


def _local_name(name: str) -> str:
    """Return the name on disk; it ends in .xml.bz2 for parts of a dump too."""
    return re.sub(r"\.xml(-p\d+p\d+)\.bz2$", r"\1.xml.bz2", name)


def _remove_others(folder: Path, wiki: str, names: set[str]) -> None:
    """Remove files of an earlier try that found another set: otherwise pages would be read twice."""
    for path in folder.glob(f"{wiki}-*"):
        if path.name.removesuffix(".part") not in names:
            path.unlink()


# --- The list of sums ---------------------------------------------------------------------------------------


def _mirrored_sums(prefix: str, mirror: Path, log: Log) -> _Published | None:
    for kind in _SUM_DIGITS:
        for path in in_mirror(mirror, f"{prefix}-{kind}sums.txt"):
            with path.open(encoding="utf-8", errors="replace") as listing:
                return _read_sums(listing.read(LARGEST_TEXT), prefix, kind)
    log(f"the mirror has no {prefix}-sha1sums.txt; asking the server for it")
    return None


def _published_sums(wiki: str, date: str, base_url: str, log: Log) -> _Published:
    if published := _listed_sums(wiki, date, base_url, log):
        return published
    raise InputError(_missing(wiki, date, base_url, log))


def _listed_sums(wiki: str, date: str, base_url: str, log: Log) -> _Published | None:
    prefix = f"{wiki}-{date}"
    for kind in _SUM_DIGITS:
        try:
            listing = fetch_text(f"{base_url.rstrip('/')}/{wiki}/{date}/{prefix}-{kind}sums.txt", log=log)
        except NotFound:
            continue
        return _read_sums(listing, prefix, kind)
    return None


def _read_sums(listing: str, prefix: str, kind: str) -> _Published:
    pattern = re.compile(rf"([0-9a-f]{{{_SUM_DIGITS[kind]}}}) [ *](\S+)")
    lines = (pattern.fullmatch(line.strip()) for line in listing.splitlines())
    return _Published(prefix, kind, {line[2]: line[1] for line in lines if line})


def _missing(wiki: str, date: str, base_url: str, log: Log) -> str:
    try:
        dates = _offered_dates(wiki, base_url, log)
    except InputError as error:
        return str(error)
    if date in dates:
        return (
            f"the dump of {wiki} of {date} has no list of checksums yet, so it is still under way; "
            f"the server offers {', '.join(dates)}"
        )
    return (
        f"there is no dump of {wiki} of {date}: dumps vanish after some months; "
        f"the server still offers {', '.join(dates) or 'none'}"
    )


def _offered_dates(wiki: str, base_url: str, log: Log) -> list[str]:
    """Return the dates that the server lists, rising; raises InputError where it does not have the wiki."""
    try:
        page = fetch_text(f"{base_url.rstrip('/')}/{wiki}/", log=log)
    except NotFound as error:
        raise InputError(f"{base_url} has no wiki named {wiki}; check the language's code") from error
    return sorted(set(re.findall(r'href="(\d{8})/?"', page)))


# --- The mirror ---------------------------------------------------------------------------------------------


def _set_in_mirror(sets: list[list[str]], mirror: Path | None) -> list[str] | None:
    """Return the first set of files that the mirror has as a whole."""
    if mirror is None:
        return None
    return next((names for names in sets if all(in_mirror(mirror, name) for name in names)), None)


def _checked_copy(name: str, sums: Mapping[str, str], mirror: Path) -> Path | None:
    """Return the mirror's file of that name; raises InputError when it has another sum than published."""
    differences = []
    for path in in_mirror(mirror, name):
        differs = difference(path, sums)
        if not differs:
            return path
        differences.append(f"{path} is not the published file: {differs}")
    if differences:
        raise InputError(f"{differences[0]}; copy it again, or remove it from the mirror")
    return None
