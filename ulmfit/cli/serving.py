"""Commands that give a trained model to others: serve it, push it, pull it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.models import BundleArgument, DeviceOption, PrecisionOption, check_precision
from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.printing import show
from ulmfit.serve.settings import ServeSettings

DEFAULT = ServeSettings()


def _limit(name: str) -> typer.models.OptionInfo:
    field = ServeSettings.model_fields[name]
    return typer.Option(min=1, help=field.description)


def serve(
    bundle: BundleArgument,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 or :: lets other machines in")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port to listen on; 0: a free one")] = 8000,
    largest_body: Annotated[int, _limit("largest_body")] = DEFAULT.largest_body,
    most_texts: Annotated[int, _limit("most_texts")] = DEFAULT.most_texts,
    longest_text: Annotated[int, _limit("longest_text")] = DEFAULT.longest_text,
    most_explained: Annotated[int, _limit("most_explained")] = DEFAULT.most_explained,
    most_waiting: Annotated[int, _limit("most_waiting")] = DEFAULT.most_waiting,
    most_batched: Annotated[int, _limit("most_batched")] = DEFAULT.most_batched,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "run",
) -> None:
    """Answer over HTTP with a saved classifier, and show a page to try it."""
    from ulmfit.bundle.classifier import TextClassifier

    check_precision(precision)
    try:
        from ulmfit.serve.server import serve as run
    except ModuleNotFoundError as error:
        raise InputError(
            f'ulmfit serve needs {error.name}, which is not installed: pip install "ulmfit[serve]"'
        ) from error
    settings = ServeSettings(
        largest_body=largest_body,
        most_texts=most_texts,
        longest_text=longest_text,
        most_explained=most_explained,
        most_waiting=most_waiting,
        most_batched=most_batched,
    )
    classifier = TextClassifier.load(bundle, device=device, precision=precision)  # type: ignore[arg-type]
    run(classifier, settings, host=host, port=port, log=show, warn=lambda line: show(line, sys.stderr))


def push(
    bundle: Annotated[Path, typer.Argument(help="a folder that ulmfit bundle wrote")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="the model on the hub")],
    private: Annotated[bool, typer.Option("--private", help="only its owner sees it")] = False,
) -> None:
    """Upload a saved model to the Hugging Face hub; log in before with hf auth login."""
    from ulmfit.bundle.share import push as upload

    place = upload(bundle, name, private=private, log=show)
    show(f"{place}")
    show(f"to use it: echo 'some text' | ulmfit predict {place}")


def pull(
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="the model on the hub")],
    out: Annotated[
        Path | None, typer.Argument(help="folder of the bundle, new or an earlier bundle; default: NAME")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="branch, tag or hash of a commit; default: the newest commit")
    ] = None,
) -> None:
    """Download a saved model from the Hugging Face hub as a folder; its sums are checked."""
    from ulmfit.bundle.hub import place_of
    from ulmfit.bundle.share import pull as download

    place = place_of(name, revision)
    found = download(place, out or Path(place.name.partition("/")[2]), show)
    show(f"{found.folder}: {found.place}")
