"""How texts are written before they are cut into pieces, and how they are read back: always exact."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.settings import Settings
from ulmfit.tokens import repeats
from ulmfit.tokens.casing import Marker
from ulmfit.tokens.marks import MARK_NAMES, REPEAT_MARK_NAMES, normalize
from ulmfit.tokens.reading import mend_html, moses_tokenizer, moses_version

GENERAL_RULES = (
    "composed characters (NFC)",
    "runs of white space and control characters are one space; none at the ends",
    "U+2581 is _; the private-use characters of the marks and halves of surrogate pairs are U+FFFD",
    "one space is put before the text; each word is encoded on its own, with the space before it",
)
CAPITALS_RULE = (
    "a capitalised word is xxmaj, a word in capitals xxup, before the space and the word in small letters"
)
REPEATS_RULE = (
    "a character four times or more is xxrep, the number and the character; a word three times or more is "
    "xxwrep, the number and the word"
)


READING_RULES = {
    "moses": "first Moses cuts each line into words and signs with spaces between them, and escapes signs",
    "html": "entities of HTML are characters, as fastai v1's fix_html writes them",
    "nfkc": "compatible characters are their plain forms (NFKC)",
}
"""Steps before the normal form, in their order."""
FIRST_FIELDS = ("language", "marks", "repeats")
"""What every description of a tokenizer says."""


class Rules(Settings):
    """What is done to a text before its normal form, and what is written as marks after it."""

    language: str = Field(description="language code, e.g. `de`; tr, az and their like map I to ı")
    marks: bool = Field(True, description="write capitals as marks and small letters; off: keep the letters")
    repeats: bool = Field(False, description="write repetitions as marks and numbers; off: keep them")
    moses: bool = Field(False, description="tokenise and escape each line with Moses first; off: do not")
    html: bool = Field(False, description="mend HTML's entities as fastai v1 did; off: keep them")
    nfkc: bool = Field(False, description="NFKC in place of NFC; off: NFC")

    def mark_names(self) -> dict[str, str]:
        """Return the marks' characters with their names, in the order of their ids."""
        return {**(MARK_NAMES if self.marks else {}), **(REPEAT_MARK_NAMES if self.repeats else {})}

    def in_words(self) -> list[str]:
        """Return the rules as sentences."""
        chosen = [CAPITALS_RULE] * self.marks + [REPEATS_RULE] * self.repeats
        steps = [rule for name, rule in READING_RULES.items() if getattr(self, name)]
        return [*steps, *GENERAL_RULES, *chosen]

    def reading(self) -> dict[str, Any]:
        """Return the steps before the normal form, and what they depend on; empty if there are none."""
        steps: dict[str, Any] = {name: True for name in READING_RULES if getattr(self, name)}
        return {**steps, "moses_version": moses_version()} if self.moses else steps

    def description(self) -> dict[str, Any]:
        """Return what `tokenizer.json` says; only the steps that are taken are named."""
        return {**{name: getattr(self, name) for name in FIRST_FIELDS}, **self.reading()}


class TextForm:
    """Writes texts by some rules, and reads their normal form back."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.marker = Marker(rules.language) if rules.marks else None
        self._moses = moses_tokenizer(rules.language) if rules.moses else None

    def normal(self, text: str) -> str:
        """Return the normal form of a raw text: what `normalize` leaves of it after the steps of the rules.

        `normalize` does not change it again. The steps might, so they are taken only once.
        """
        if self._moses:
            text = "\n".join(map(self._moses, text.splitlines()))
        if self.rules.html:
            text = mend_html(text)
        if self.rules.nfkc:
            text = unicodedata.normalize("NFKC", text)
        return normalize(text)

    def write(self, text: str) -> str:
        """Return what SentencePiece sees of a raw text."""
        return self.write_normal(self.normal(text))

    def write_normal(self, text: str) -> str:
        """Return what SentencePiece sees of a text in normal form."""
        if not text:
            return ""
        return self.write_words(repeats.collapse_words_of(text) if self.rules.repeats else f" {text}")

    def write_words(self, text: str) -> str:
        """Return what SentencePiece sees of normalised words with a space before each."""
        if self.marker:
            text = self.marker.mark(text)
        return repeats.collapse_characters(text) if self.rules.repeats else text

    def read(self, text: str) -> str:
        """Return the text in normal form that was written as `text`; marks out of place are dropped."""
        if self.rules.repeats:
            text = repeats.expand_characters(text)
        if self.marker:
            text = self.marker.unmark(text)
        if self.rules.repeats:
            text = repeats.expand_words(text)
        return text.removeprefix(" ")


def read_rules(description: dict[str, Any], path: Path) -> Rules:
    """Return the rules in the content of `path`.

    Raises InputError when they are not all there, or where another version of Moses would cut texts.
    """
    named = [name for name in READING_RULES if name in description]
    values = {name: description.get(name) for name in (*FIRST_FIELDS, *named)}
    try:
        rules = Rules.model_validate(values, strict=True)
    except ValidationError as error:
        raise InputError(
            f"{path} does not say {' and '.join(str(part['loc'][0]) for part in error.errors())}: "
            f"expected the file that training wrote"
        ) from error
    if rules.moses and description.get("moses_version") != moses_version():
        made = description.get("moses_version")
        raise InputError(
            f"{path}: the tokenizer was made with sacremoses {made}, installed is {moses_version()}, "
            f"which may cut texts elsewhere: install that version, pip install sacremoses=={made}"
        )
    return rules
