"""What the first run of a recipe found out, noted beside it: dates of dumps, hashes of files.

`pins.toml` in a recipe's folder has a table per kind of thing. The recipes of a folder share it, so that two
recipes of a language read the same dump. The file is small and belongs into version control.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from ulmfit.pipeline.assets import File, download_file, in_mirror
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import sha256_of, write_text
from ulmfit.pipeline.repository import contents_of

PINS = "pins.toml"
DUMPS, FILES = "dumps", "files"
HEADER = """# Written by a first run: the dump that was the newest, the SHA-256 of files that had none.
# Later runs read the same. Remove a line, and the next run looks again.
"""


class Pins:
    """The pins of a folder."""

    def __init__(self, folder: Path) -> None:
        """Read `pins.toml` of `folder`, where there is one; raises InputError if it is damaged."""
        self.path = folder / PINS
        self._tables: dict[str, dict[str, str]] = {}
        if not self.path.exists():
            return
        try:
            tables = tomllib.loads(self.path.read_text(encoding="utf-8"))
            self._tables = {kind: _strings(table) for kind, table in tables.items()}
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{self.path} cannot be read: {str(error).splitlines()[0]}; mend it, or remove it: the next "
                f"run writes it anew"
            ) from error

    def get(self, kind: str, name: str) -> str:
        """Return what is noted of `name`; empty: nothing."""
        return self._tables.get(kind, {}).get(name, "")

    def add(self, kind: str, name: str, value: str) -> None:
        """Note `value` and write the file; raises InputError where that is not possible.

        What another run has noted meanwhile is kept.
        """
        self._tables = Pins(self.path.parent)._tables
        self._tables.setdefault(kind, {})[name] = value
        tables = [
            "\n".join(
                [f"[{kind}]", *(f"{json.dumps(name)} = {json.dumps(table[name])}" for name in sorted(table))]
            )
            for kind, table in sorted(self._tables.items())
        ]
        try:
            write_text(self.path, HEADER + "\n" + "\n\n".join(tables) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror or error}), so that the next run could not "
                f"read the same: copy the recipe into a folder of your own, or name {name} = {value} in it"
            ) from error


def _strings(table: object) -> dict[str, str]:
    if not isinstance(table, Mapping) or not all(isinstance(value, str) for value in table.values()):
        raise ValueError("expected tables of texts, such as [dumps]")
    return dict(table)


def is_unpinned(file: File) -> bool:
    """Return whether the hash of a file is not known before its first download."""
    return file.path is None and not file.known_hash


def pinned_file(file: File, pins: Pins) -> File:
    """Return `file` with the hash that is noted for it, or as it is."""
    noted = pins.get(FILES, _place(file)) if is_unpinned(file) else ""
    return _with_hash(file, noted) if noted else file


def _place(file: File) -> str:
    """Return where a file is from; of a repository's archive several files may be made."""
    return file.address if file.repository is None else f"{file.address}#{file.name}"


def _with_hash(file: File, noted: str) -> File:
    if file.repository is None:
        return file.changed(sha256=noted)
    return file.changed(repository=file.repository.changed(contents=noted))


def pin_file(file: File, pins: Pins, cache: Path, mirror: Path | None, log: Callable[[str], None]) -> File:
    """Return `file` with its hash, which is noted in `pins` when the file is met for the first time.

    Its first copy comes from the mirror or from its address, and is kept where `assets.fetch` finds it. Of
    files of a repository the hash is that of their contents.
    """
    known = pinned_file(file, pins)
    if not is_unpinned(known):
        return known
    copies = in_mirror(mirror, file.name) if mirror is not None else []
    if copies:
        noted = _hash_of(copies[0], file)
    else:
        arrived = cache / "first" / file.name
        arrived.parent.mkdir(parents=True, exist_ok=True)
        log(f"downloading {file.name} from {file.address}; no hash of it is known yet")
        download_file(file, arrived, log)
        noted = _hash_of(arrived, file)
        target = cache / noted[:16] / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        arrived.replace(target)
    pins.add(FILES, _place(file), noted)
    log(f"{file.name}: SHA-256 {noted}, noted in {pins.path}: later runs take no other file")
    return _with_hash(file, noted)


def _hash_of(path: Path, file: File) -> str:
    return sha256_of(path) if file.repository is None else contents_of(path)
