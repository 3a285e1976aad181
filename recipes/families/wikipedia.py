"""Language models of whole Wikipedias: what the files `wikipedia.py` of all languages share.

The first run looks up the newest complete dump, says which it is, and notes it in `pins.toml` beside the
recipe. Tasks of a language build on its file: `load_recipe(...).changed(name=..., dataset=...)`.
"""

from typing import Any, Literal

from ulmfit.corpus.stages import Wikipedia, WikipediaCorpus
from ulmfit.experiments.presets import MULTIFIT, SMALL
from ulmfit.experiments.recipe import Recipe

MULTIFIT_SIZE = 15_000

Size = Literal["over 1 GB", "200 MB to 1 GB", "20 to 200 MB", "under 20 MB"]
"""Compressed pages-articles, roughly: dumps grow."""


def make(
    language: str,
    name: str,
    *,
    script: str,
    dump: Size,
    casing: str = "none",
    pieces: int = MULTIFIT_SIZE,
    why: str = "MultiFiT's size for 100 million words",
    **corpus: Any,
) -> Recipe:
    """Return the recipe `<language>/wikipedia`.

    `casing` is the rule of capitals that the language's code brings, none where it has none of its own.
    `pieces` is the size of vocabulary that is recommended, and `why` the reason. What else is given are
    fields of the corpus.
    """
    vocabulary = MULTIFIT.vocabulary.changed(size=pieces)
    thousands = f"{pieces // 1_000}k"
    return Recipe(
        name=f"{language}/wikipedia",
        title=f"{name} Wikipedia, language model",
        language=language,
        corpus=WikipediaCorpus(dump=Wikipedia(language=language, date="newest"), language=language, **corpus),
        presets={
            "paper": MULTIFIT.changed(
                vocabulary=vocabulary, note=MULTIFIT.note.replace("15k pieces", f"{thousands} pieces")
            ),
            "small": SMALL.changed(
                max_documents=3_000,
                vocabulary=SMALL.vocabulary.changed(size=min(pieces, SMALL.vocabulary.size)),
                note=SMALL.note.replace("8k pieces", "4k pieces") if pieces < 8_000 else SMALL.note,
            ),
        },
        notes=(
            f"{name} Wikipedia: {script} script, rule of casing: {casing}, dump {dump}; "
            f"{pieces:,} pieces: {why}",
        ),
    )
