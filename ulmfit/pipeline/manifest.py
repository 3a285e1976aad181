"""Manifests and configurations of stages are written, read and checked here, and nowhere else.

An altered file, `{}` or the manifest of another folder does not count as a manifest: the stage counts as
unfinished, and is built again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, NotRequired, cast

from pydantic import ConfigDict, Field, TypeAdapter, with_config

# pydantic takes typing's own from Python 3.12 on.
from typing_extensions import TypedDict

from ulmfit.pipeline.files import read_json, sha256_of, write_json

MANIFEST, CONFIG = "manifest.json", "config.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[^/\x00]+$")]


class FileEntry(TypedDict):
    """A file in a manifest: size in bytes, time of its last change in nanoseconds, hash of its content."""

    bytes: int
    mtime_ns: int
    sha256: Sha256


@with_config(ConfigDict(strict=True, extra="allow"))
class Manifest(TypedDict):
    """What a finished stage leaves beside its files; the only sign of success."""

    stage: str
    key: str
    outputs: Sha256
    """Hash of the names and contents of all files."""
    files: dict[FileName, FileEntry]
    upstream: dict[str, str]
    """`outputs` of each upstream stage when this one was built, by `name/key`."""
    inputs: dict[str, str]
    """SHA-256 of each input file, by name."""
    warnings: list[str]
    seconds: float
    measures: dict[str, float]
    machine: NotRequired[dict[str, Any]]
    """Device, threads and so on; only training has it."""
    commit: str
    versions: dict[str, str]
    hardware: dict[str, Any]
    seal: NotRequired[str]
    """Hash of everything else; manifests of earlier versions have none."""


_MANIFEST = TypeAdapter(Manifest)
_STAGE_LIST = TypeAdapter(list[tuple[str, str]])
_OUTPUTS = TypeAdapter(dict[str, str])


def outputs_hash(files: dict[str, FileEntry]) -> str:
    """Return the hash of a stage's result."""
    content = json.dumps([(name, entry["sha256"]) for name, entry in files.items()])
    return hashlib.sha256(content.encode()).hexdigest()


def describe_file(path: Path) -> FileEntry:
    """Return the entry of a file."""
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256_of(path)}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a stage's folder, with its seal."""
    write_json(folder / MANIFEST, {**manifest, "seal": _seal(manifest)})


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a stage's folder; None: there is none, or it is altered."""
    try:
        manifest = read_json(folder / MANIFEST)
        _MANIFEST.validate_python(manifest)
        sealed = manifest.get("seal", "") in ("", _seal(manifest))
    except (OSError, ValueError, RecursionError):
        return None
    is_own = (manifest["stage"], manifest["key"]) == (folder.parent.name, folder.name)
    return manifest if sealed and is_own and manifest["outputs"] == outputs_hash(manifest["files"]) else None


def _seal(manifest: Manifest) -> str:
    content = {name: value for name, value in manifest.items() if name != "seal"}
    # Hash what will be read back: JSON turns tuples into lists, and numbers as keys into text.
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_unchanged(path: Path, entry: FileEntry) -> bool:
    """Compare size and time of change; if only the time differs (a copied folder), compare the content."""
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != entry["bytes"]:
        return False
    return status.st_mtime_ns == entry["mtime_ns"] or has_content(path, entry)


def has_content(path: Path, entry: FileEntry) -> bool:
    """Return whether a file has the content that the manifest says."""
    try:
        return path.is_file() and sha256_of(path) == entry["sha256"]
    except OSError:
        return False


def read_config(folder: Path, manifest: Manifest | None) -> dict[str, Any] | None:
    """Return the configuration that a stage was begun with; None if there is none, or if it is altered.

    The manifest of a finished stage has the hash that the file must have.
    """
    if manifest is not None and not has_content(folder / CONFIG, manifest["files"].get(CONFIG, _NO_FILE)):
        return None
    try:
        content = read_json(folder / CONFIG)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


_NO_FILE: FileEntry = {"bytes": 0, "mtime_ns": 0, "sha256": ""}


def stages_in_list(content: Any) -> list[tuple[str, str]]:
    """Return name and key of the stages in the content of a `stages.json`; ValueError when it is none."""
    return _STAGE_LIST.validate_python(content)


def stages_of_outputs(content: Any) -> list[tuple[str, str]]:
    """Return name and key of the stages in the content of a `made-from.json`; ValueError when it is none."""
    if not isinstance(content, dict):
        raise ValueError("expected an object")
    outputs = _OUTPUTS.validate_python(content.get("outputs"))
    return [(name, key) for name, _, key in (stage.rpartition("/") for stage in outputs)]


def hashes_in_cache(content: Any) -> dict[str, list]:
    """Return the whole entries of a `hashes.json`, by path; what is altered is left out."""
    entries = cast(dict[str, Any], content) if isinstance(content, dict) else {}
    return {name: entry for name, entry in entries.items() if _is_whole(name, entry)}


def cache_entry(name: str, stamp: list[int], sha256: str) -> list:
    """Return the entry of a file in `hashes.json`: size, time of change, content, and a seal of all this."""
    text = json.dumps([name, *stamp, sha256])
    return [*stamp, sha256, hashlib.sha256(text.encode()).hexdigest()[:16]]


def _is_whole(name: str, entry: Any) -> bool:
    if not (isinstance(entry, list) and len(entry) == 4 and isinstance(entry[2], str)):
        return False
    return all(isinstance(one, int) for one in entry[:2]) and entry == cache_entry(name, entry[:2], entry[2])
