"""One step by itself: `extract`, `import`, `find-rate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ulmfit.cli.options import Changes, MirrorOption, RecipeArgument, RunsOption, with_changes
from ulmfit.pipeline.printing import show


def extract(
    dump: Annotated[
        Path, typer.Argument(help="a pages-articles dump: .xml, or with .bz2, .xz, .gz or .zst behind it")
    ],
    out: Annotated[Path, typer.Argument(help="folder for documents.parquet and account.json")],
    language: Annotated[str | None, typer.Option(help="language code; default: what the dump says")] = None,
    engine: Annotated[str, typer.Option(help="fast, or wikiextractor, which expands templates")] = ("fast"),
    headings: Annotated[bool, typer.Option(help="keep the headings of sections")] = True,
    workers: Annotated[int, typer.Option(min=0, help="processes; 0: one per core")] = 0,
) -> None:
    """Turn a dump into documents.parquet and account.json, without a recipe."""
    from ulmfit.corpus.extract import extract as extract_dump
    from ulmfit.pipeline.progress import say

    extract_dump(dump, out, language=language, engine=engine, headings=headings, workers=workers, log=say)


def import_(
    weights: Annotated[Path, typer.Argument(help="a language model's .pth or .safetensors file")],
    vocabulary: Annotated[Path, typer.Argument(help="its itos.pkl, or .json, .model, .vocab")],
    out: Annotated[Path, typer.Argument(help="new folder for model.safetensors and its descriptions")],
    direction: Annotated[str, typer.Option(help="reading direction: forward or backward")] = "forward",
    description: Annotated[
        Path | None, typer.Option(help="the model.json that came with the weights; it has to agree with them")
    ] = None,
    backward_order: Annotated[
        str,
        typer.Option(
            help="how it read a text a b c backward; bos-first: bos c b a; bos-last: c b a bos, as fastai "
            "v1; eos-first: eos c b a bos, as n-waves"
        ),
    ] = "bos-first",
    tokenizer: Annotated[
        Path | None, typer.Option(help="folder of the tokenizer that will be used; it is tried on --text")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="a text file: which frequent pieces does the tokenizer never write?")
    ] = None,
) -> None:
    """Convert a language model of fastai or MultiFiT to our layout; runs no code from its files."""
    from ulmfit.language_model.imported import import_into_new_folder
    from ulmfit.pipeline.progress import say

    import_into_new_folder(
        weights, vocabulary, out, direction, description, say, backward_order, tokenizer, text
    )


@with_changes("preset", "overrides")
def find_rate(
    recipe: RecipeArgument,
    changes: Changes,
    stage: Annotated[str, typer.Option(help="pretrain or finetune")] = "pretrain",
    runs: RunsOption = Path("runs"),
    mirror: MirrorOption = None,
) -> None:
    """Search for a learning rate for a recipe's language model; writes rates.json and rates.svg."""
    from ulmfit.experiments import find_rate as rates

    chosen, runs = changes.chosen(recipe, runs)
    found, plot = rates.find_rate(chosen, stage, runs, mirror)
    show(f"suggested learning rate: {found.valley:.2g} (valley), {found.steep:.2g} (steepest)")
    show(f"to use it: --set {stage}.phases.0.learning_rate={found.valley:.2g}\nplot: {plot}")
