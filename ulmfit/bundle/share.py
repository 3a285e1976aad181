"""Bundles to and from the Hugging Face hub as folders: push and pull."""

from __future__ import annotations

import shutil
from pathlib import Path

from ulmfit.bundle.hub import (
    TIMEOUT_SECONDS,
    Log,
    Place,
    Pulled,
    answers,
    check_names,
    checked,
    described,
    hub_api,
    place_of,
    pulled,
)
from ulmfit.bundle.writing import check_place
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import atomic_folder
from ulmfit.pipeline.sums import SUMS, check_sums, read_sums


def pull(place: Place, out: Path, log: Log) -> Pulled:
    """Copy a bundle of the hub into the folder `out`, which appears whole or not at all.

    A bundle that is there is replaced. Raises like `pulled`, and InputError for anything else at `out`.
    """
    check_place(out)
    found = pulled(place, log)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        for name in [*read_sums(found.folder), SUMS]:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(found.folder / name, folder / name)
    return Pulled(out, found.place)


def push(folder: Path, name: str, *, private: bool, log: Log) -> Place:
    """Upload a bundle's listed files as one commit, and return its place; the model is made if it is new.

    `private`: only its owner sees it. Raises InputError for a damaged bundle, without the right to write, and
    for a private bundle whose model on the hub is public.
    """
    place = place_of(name)
    if place.revision:
        raise InputError(f"{name}: expected OWNER/NAME without a revision: a push makes a new one")
    checked(folder)
    names = [*read_sums(folder), SUMS]
    check_names(names, str(folder))
    check_sums(folder, names[:-1], read_sums(folder))
    api = hub_api()
    from huggingface_hub import CommitOperationAdd

    with answers(place, "to write to it"):
        api.create_repo(place.name, private=private or None, exist_ok=True)
        if private and not api.model_info(place.name, timeout=TIMEOUT_SECONDS).private:
            raise InputError(
                f"{place} exists and is public, nothing was pushed: make it private on the hub, or choose "
                f"another name"
            )
        size = sum((folder / one).stat().st_size for one in names)
        log(f"pushing {len(names)} files, {size / 1e6:.1f} MB")
        made = api.create_commit(
            place.name,
            [CommitOperationAdd(path_in_repo=one, path_or_fileobj=folder / one) for one in names],
            commit_message=f"Bundle {described(folder).name}",
        )
    return Place(place.name, made.oid)
