"""Input files: local ones by path, catalogued ones by name and hash (downloaded, or taken from a mirror)."""

from __future__ import annotations

import glob
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from pydantic import Field, ValidationError, field_serializer, model_validator

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import has_textual_name, sha256_of
from ulmfit.pipeline.repository import Repository, contents_of, fetch_repository
from ulmfit.pipeline.settings import Settings, first_fault

MIRROR_VARIABLE: Final = "ULMFIT_MIRROR"
"""Environment variable that names the mirror if `--mirror` is not given."""


Changed = TypeVar("Changed", bound=Settings)


class File(Settings):
    """One input file: either a local `path`, or a catalogued file with its SHA-256.

    A catalogued file may be made from a `repository` where no mirror has it: it has the same contents then,
    though compression may give it other bytes.
    """

    path: Path | None = Field(None, description="local file or folder; None for a catalogued file")
    name: str = Field("", pattern=r"^[^/\\]*$", description="file name of a catalogued file")
    url: str = Field("", description="where a catalogued file is downloaded from; empty: from a mirror only")
    sha256: str = Field(
        "",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of a catalogued file, hexadecimal, small letters; empty: not known, noted at "
        "its first download in pins.toml beside the recipe",
    )
    size: int | None = Field(None, ge=0, description="bytes of a catalogued file; None: not known")
    repository: Repository | None = Field(
        None, description="public repository that a catalogued file is made from; None: not from one"
    )
    licence: str = Field("", description="licence of the data")
    source: str = Field("", description="where the data comes from, in words")

    @model_validator(mode="after")
    def _either_local_or_catalogued(self) -> Self:
        if self.path is None and not (self.name and (self.sha256 or self.url or self.repository)):
            raise ValueError("a File needs a path, or a name and a sha256, a url or a repository")
        if self.repository and self.sha256 and not self.repository.contents:
            raise ValueError("a File with a sha256 and a repository needs the repository's contents")
        if not has_textual_name(path := self.path or Path(self.name)):
            raise ValueError(f"{path.name!r} is not UTF-8 or has control characters: rename the file")
        if self.name in (".", ".."):
            raise ValueError(f"name {self.name!r} is a folder's: expected that of a file")
        return self

    @field_serializer("path")
    def _without_folder(self, path: Path | None) -> str | None:
        """Records are published: they hold names of files, never paths of a machine."""
        return path.name if path else None

    @property
    def label(self) -> str:
        """The name shown to people and written to records; never a path."""
        return self.path.name if self.path else self.name

    @property
    def address(self) -> str:
        """Address of a catalogued file, or "" if it has none."""
        return self.repository.url if self.repository else self.url

    @property
    def known_hash(self) -> str:
        """Hash that says which catalogued file it is, or "" as long as nobody has seen it."""
        return self.sha256 or (self.repository.contents if self.repository else "")


def with_files(value: Any, change: Callable[[File], File]) -> Any:
    """Return a copy of `value` (settings, or tuples and dicts of them) in which every `File` is changed."""
    return with_settings(value, File, change)


def with_settings(value: Any, kind: type[Changed], change: Callable[[Changed], Settings]) -> Any:
    """Return a copy of `value` in which all settings of that kind, however deep, are changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, Settings):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        changed = {name: with_settings(field, kind, change) for name, field in fields.items()}
        return value.changed(**changed) if changed != fields else value
    if isinstance(value, tuple):
        return tuple(with_settings(item, kind, change) for item in value)
    if isinstance(value, dict):
        return {name: with_settings(item, kind, change) for name, item in value.items()}
    return value


def all_settings(value: Any, kind: type[Changed]) -> list[Changed]:
    """Return the settings of that kind in `value`, however deep, in the order of the fields."""
    found: list[Changed] = []

    def note(settings: Changed) -> Changed:
        found.append(settings)
        return settings

    with_settings(value, kind, note)
    return found


class Catalogue:
    """The downloads listed in an `assets.toml`: `Catalogue(path)["germeval2018/train"]` is a `File`."""

    def __init__(self, path: Path) -> None:
        """Read `path`; raises InputError when it is not a catalogue."""
        self.path = path
        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8"))
            self._files = {key: self._file(entry) for key, entry in entries.items()}
        except ValidationError as error:
            raise InputError(f"catalogue {path} cannot be read: {first_fault(error)}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"catalogue {path} cannot be read: {str(error).splitlines()[0]}") from error

    @staticmethod
    def _file(entry: dict) -> File:
        return File(
            name=entry["file"],
            url=entry.get("url", ""),
            sha256=entry["sha256"] if not {"url", "address"} & entry.keys() else entry.get("sha256", ""),
            size=entry.get("bytes"),
            repository=(
                Repository(**{name: entry[name] for name in Repository.model_fields if name in entry})
                if "address" in entry
                else None
            ),
            licence=entry.get("licence", ""),
            source=entry.get("source", ""),
        )

    def __getitem__(self, key: str) -> File:
        """Return the file listed under `key`."""
        if key not in self._files:
            raise InputError(f"asset {key!r} is not in {self.path.name}; it lists {', '.join(self._files)}")
        return self._files[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._files)


def fetch(file: File, cache: Path, mirror: Path | None, log: Callable[[str], None]) -> Path:
    """Return a verified local path of `file`: itself, a mirror's copy, or a download kept in `cache`."""
    if file.path is not None:
        if not file.path.exists():
            raise InputError(missing(file))
        return file.path
    if not file.known_hash:
        raise InputError(
            f"{file.name}: its SHA-256 is not known before its first download: run the recipe itself "
            f"(ulmfit run), which notes it"
        )
    if mirror is not None and (found := _mirrored(file, mirror, log)):
        return found
    target = cache / file.known_hash[:16] / file.name
    if _is_whole(target, file):
        return target
    if not file.address:
        raise InputError(
            f"{file.name} cannot be downloaded ({file.source or 'no address is known'}): "
            f"put it into a folder and name that with --mirror"
        )
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        if not _is_whole(target, file):
            target.unlink(missing_ok=True)
            download_file(file, target, log)
    return target


def download_file(file: File, target: Path, log: Callable[[str], None]) -> None:
    """Download a catalogued file to `target`; it is held to its hash where that is known."""
    from ulmfit.pipeline.download import download

    if file.repository is not None:
        fetch_repository(file.repository, target, log)
    else:
        sums = {"sha256": file.sha256} if file.sha256 else {}
        download(file.url, target, sums=sums, size=file.size, log=log)


def missing(file: File) -> str:
    """Return what is said of a local file that is not there: where it comes from, if that is known."""
    origin = f"; {file.source}" if file.source else ""
    return f"input file {file.path} does not exist{origin}"


def _is_whole(path: Path, file: File) -> bool:
    """Return whether the file is there with the bytes, or the contents, that it should have."""
    if not path.exists():
        return False
    if file.sha256 and file.size in (None, path.stat().st_size) and sha256_of(path) == file.sha256:
        return True
    repository = file.repository
    return repository is not None and bool(repository.contents) and _contents(path) == repository.contents


def _contents(path: Path) -> str:
    """Return the hash of a file's contents; empty: it is damaged."""
    try:
        return contents_of(path)
    except InputError:
        return ""


def check_mirror(mirror: Path) -> None:
    """Raise InputError where a mirror is no folder."""
    if not mirror.is_dir():
        raise InputError(f"mirror {mirror} is not a folder")


def in_mirror(mirror: Path, name: str) -> list[Path]:
    """Return the files of that name in a mirror, at any depth, sorted; InputError if it is no folder."""
    check_mirror(mirror)
    return sorted(path for path in mirror.rglob(glob.escape(name)) if path.is_file())


def _mirrored(file: File, mirror: Path, log: Callable[[str], None]) -> Path | None:
    """Return the mirror's copy of `file`; a file of this name with other bytes is skipped, and `log` told."""
    candidates = in_mirror(mirror, file.name)
    for path in candidates:
        if _is_whole(path, file):
            return path
    if candidates:
        log(f"{candidates[0]} is not the catalogued {file.name} (another size or sha256); it is not used")
    return None
