"""Bundles on the Hugging Face hub: `hf:owner/name@revision` in place of a folder.

A revision is resolved to the hash of its commit first, and all files are those of that commit. They are kept
in the hub's own cache (HF_HOME): a commit that was pulled before is found there without a network. Tokens are
those of `hf auth login` or HF_TOKEN; they are never printed.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulmfit.language_model.bundle_format import (
    BUNDLE,
    BundleDescription,
    kind_of_bundle,
    read_description,
)
from ulmfit.pipeline.errors import InputError, StageFailed
from ulmfit.pipeline.printing import show
from ulmfit.pipeline.sums import LARGEST, SUMS, read_sums

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from ulmfit.bundle.description import ClassifierDescription

PREFIX = "hf:"
LARGEST_BUNDLE = 20_000_000_000
"""Bytes of all files of a bundle; one with five seeds in both directions has about 1 % of it."""
TIMEOUT_SECONDS = 30.0
_PART = "[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?!.*(?:--|\.\.|\.git$)){_PART}/{_PART}")
"""As the hub names models."""
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,199}")
_COMMIT = re.compile("[0-9a-f]{40}")
_FILE = re.compile(r"(tokenizer/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
"""What a bundle's files are called: no path leads out of its folder."""

Log = Callable[[str], object]


@dataclass(frozen=True)
class Place:
    """A model on the hub; `revision` is a branch, a tag or the hash of a commit, None: the main branch."""

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Pulled:
    """A bundle of the hub as a folder, and the commit that it is of."""

    folder: Path
    place: Place


def is_on_hub(reference: Path | str) -> bool:
    """Return whether a bundle is named by its place on the hub, and not by a folder."""
    return str(reference).startswith(PREFIX)


def place_of(reference: str, revision: str | None = None) -> Place:
    """Read `owner/name` or `hf:owner/name@revision`; raises InputError for other forms."""
    name, _, given = reference.removeprefix(PREFIX).partition("@")
    if not _NAME.fullmatch(name):
        raise InputError(f"{reference}: expected a model of the hub, hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    if given and revision and given != revision:
        raise InputError(f"{reference} names another revision than --revision {revision}: leave one out")
    chosen = given or revision
    if (reference.endswith("@") and not given) or (chosen and not _REVISION.fullmatch(chosen)):
        raise InputError(f"{reference}: expected a branch, a tag or the hash of a commit as its revision")
    return Place(name, chosen or None)


def local_folder(reference: Path | str) -> Path:
    """Return the folder of a bundle; one on the hub is pulled, and its commit is printed.

    Raises InputError for what the hub does not have or does not give, StageFailed where it is not reached.
    """
    if not is_on_hub(reference):
        return Path(reference)
    return pulled(place_of(str(reference)), lambda line: show(line, sys.stderr)).folder


def pulled(place: Place, log: Log) -> Pulled:
    """Download a bundle's listed files into the hub's cache, unless they are there; check their sums.

    Raises like `local_folder`, and InputError for a bundle that is damaged or too large.
    """
    api = hub_api()
    is_commit = bool(place.revision and _COMMIT.fullmatch(place.revision))
    if is_commit and (folder := _cached(place)):
        return Pulled(checked(folder), place)
    with answers(place):
        found = api.model_info(
            place.name, revision=place.revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
        commit = str(found.sha)
        sizes = {one.rfilename: one.size for one in found.siblings or ()}
    if not _COMMIT.fullmatch(commit) or (is_commit and commit != place.revision):
        raise StageFailed(f"{place}: the hub does not say which commit it is: try again later")
    log(f"{place} is commit {commit}")
    fixed = Place(place.name, commit)
    return Pulled(checked(_cached(fixed) or _downloaded(fixed, sizes, log)), fixed)


def hub_api() -> HfApi:
    """Return what asks the hub; InputError where the extra is not installed."""
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise InputError(
            f'bundles on the hub need {error.name}, which is not installed: pip install "ulmfit[hub]"'
        ) from error
    return HfApi()


def described(folder: Path, *, sums: bool = False) -> BundleDescription | ClassifierDescription:
    """Return what a bundle of any kind says; with `sums` its files are checked, InputError if damaged."""
    if (kind := kind_of_bundle(folder)) == "language_model":
        return read_description(folder, BundleDescription, kind, sums=sums)
    from ulmfit.bundle.description import ClassifierDescription

    return read_description(folder, ClassifierDescription, kind, sums=sums)


def checked(folder: Path) -> Path:
    """Return the folder of a bundle; InputError where it is damaged."""
    described(folder, sums=True)
    return folder


def _cached(place: Place) -> Path | None:
    """Return the folder of a commit whose listed files are all in the cache; None: they are not."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(place.name, SUMS, revision=place.revision)
    if not isinstance(path, str):
        return None
    folder = Path(path).parent
    names = read_sums(folder)
    check_names(names, str(place))
    return folder if all((folder / name).is_file() for name in names) else None


def _downloaded(place: Place, sizes: Mapping[str, int | None], log: Log) -> Path:
    """Download what SHA256SUMS lists, after its size is known to be no more than a bundle's."""
    for name in (SUMS, BUNDLE):
        if name not in sizes:
            raise InputError(f"{place} has no {name}: expected a model that ulmfit push wrote")
    folder = _file(place, SUMS, min(sizes[SUMS] or LARGEST, LARGEST)).parent
    names = read_sums(folder)
    check_names(names, str(place))
    if missing := [name for name in names if sizes.get(name) is None]:
        raise InputError(f"{place}: the hub has no {missing[0]}, which {SUMS} names: push the bundle again")
    size = sum(sizes[name] or 0 for name in names)
    if size > LARGEST_BUNDLE:
        raise InputError(f"{place} has {size:,} bytes, more than the {LARGEST_BUNDLE:,} of any bundle")
    log(f"downloading {len(names)} files, {size / 1e6:.1f} MB")
    for name in names:
        _file(place, name, sizes[name] or 0)
    return folder


def _file(place: Place, name: str, largest: int) -> Path:
    """Return one file of the cache, downloaded if it is not there; InputError beyond `largest` bytes."""
    from huggingface_hub import hf_hub_download

    with answers(place):
        path = hf_hub_download(
            place.name,
            name,
            revision=place.revision,
            etag_timeout=TIMEOUT_SECONDS,
            tqdm_class=_bounded(f"{place}: {name}", largest),
        )
    return Path(path)


def _bounded(what: str, largest: int) -> Any:
    """Return a progress bar that ends a download which brings more bytes than were announced."""
    from huggingface_hub.utils import tqdm

    class Bounded(tqdm):
        received = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.received += int(n or 0)
            if self.received > largest:
                raise InputError(f"{what} has more than the {largest:,} bytes that it may have")
            return super().update(n)

        def update_transfer(self, n: float | None = 1) -> None:
            """Count nothing: bytes on the way (Xet) may be more than those of the file, retries for one."""

        def set_transfer_postfix_str(self, text: str = "", refresh: bool = True) -> None:
            """Show nothing of them."""

    return Bounded


def check_names(names: Mapping[str, str] | list[str], where: str) -> None:
    """Raise InputError for a listed file that no bundle has."""
    for name in names:
        if not _FILE.fullmatch(name):
            raise InputError(f"{where}: {SUMS} names {name!r}, which is no file of a bundle")


@contextlib.contextmanager
def answers(place: Place, wanted: str = "to read it") -> Iterator[None]:
    """Turn what the hub and the network may say into one line; nothing of the request is quoted."""
    from huggingface_hub import errors

    try:
        yield
    except (InputError, StageFailed):
        raise
    except errors.GatedRepoError as error:
        raise InputError(f"{place}: its owner gives access on request: ask on its page of the hub") from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{place}: there is no such revision: expected a branch, tag or commit") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{place}: there is no such model, or it is private and you have no right {wanted}: check the "
            f"name, or log in with: hf auth login"
        ) from error
    except errors.EntryNotFoundError as error:
        raise InputError(f"{place}: a file of the bundle is not there: push the bundle again") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise InputError(f"{place}: you have no right {wanted}: log in with: hf auth login") from error
        if status in (400, 404, 409, 413, 422):
            raise InputError(f"{place}: the hub refuses it (HTTP {status})") from error
        raise StageFailed(f"{place}: the hub answers HTTP {status}: try again later") from error
    except errors.OfflineModeIsEnabled as error:
        raise InputError(
            f"{place}: HF_HUB_OFFLINE is set: unset it, or name a commit that was pulled before"
        ) from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{place}: the hub refuses README.md, or its answer is no hub's: {reason}"
        ) from error
    except Exception as error:
        # What the HTTP library raises depends on its version; ours are raised above.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise StageFailed(
            f"{place}: the hub cannot be reached, or its answer cannot be read ({type(error).__name__}): "
            f"check the network, or name the folder of a bundle that was pulled before"
        ) from error
