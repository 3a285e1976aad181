"""How texts are written before they are cut into pieces, and how they are read back: always exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ulmfit.errors import InputError
from ulmfit.settings import Settings
from ulmfit.tokens import repeats
from ulmfit.tokens.marks import MARK_NAMES, REPEAT_MARK_NAMES, Marker, normalize

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


class Rules(Settings):
    """What is written as marks; the normal form of texts is the same for all."""

    language: str = Field(description="language code, e.g. `de`; tr, az and their like map I to ı")
    marks: bool = Field(True, description="write capitals as marks and small letters; off: keep the letters")
    repeats: bool = Field(False, description="write repetitions as marks and numbers; off: keep them")

    def mark_names(self) -> dict[str, str]:
        """Return the marks' characters with their names, in the order of their ids."""
        return {**(MARK_NAMES if self.marks else {}), **(REPEAT_MARK_NAMES if self.repeats else {})}

    def in_words(self) -> list[str]:
        """Return the rules as sentences."""
        chosen = [CAPITALS_RULE] * self.marks + [REPEATS_RULE] * self.repeats
        return [*GENERAL_RULES, *chosen]


class TextForm:
    """Writes normalised texts by some rules, and reads them back."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.marker = Marker(rules.language) if rules.marks else None

    def write(self, text: str) -> str:
        """Return what SentencePiece sees of a raw text."""
        text = normalize(text)
        if not text:
            return ""
        return self.write_words(repeats.collapse_words_of(text) if self.rules.repeats else f" {text}")

    def write_words(self, text: str) -> str:
        """Return what SentencePiece sees of normalised words with a space before each."""
        if self.marker:
            text = self.marker.mark(text)
        return repeats.collapse_characters(text) if self.rules.repeats else text

    def read(self, text: str) -> str:
        """Return the normalised text that was written as `text`; marks out of place are dropped."""
        if self.rules.repeats:
            text = repeats.expand_characters(text)
        if self.marker:
            text = self.marker.unmark(text)
        if self.rules.repeats:
            text = repeats.expand_words(text)
        return text.removeprefix(" ")


def read_rules(description: dict[str, Any], path: Path) -> Rules:
    """Return the rules in the content of `path`; raises InputError when they are not all there."""
    values = {name: description.get(name) for name in Rules.model_fields}
    try:
        return Rules.model_validate(values, strict=True)
    except ValidationError as error:
        raise InputError(
            f"{path} does not say {' and '.join(str(part['loc'][0]) for part in error.errors())}: "
            f"expected the file that training wrote"
        ) from error
