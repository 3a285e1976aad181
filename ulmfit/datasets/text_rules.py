"""What is done to a text before anything else reads it: in training, and wherever the model is used.

This module is light: using a trained model imports it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ulmfit.pipeline.white_space import plain_white_space

Replacement = tuple[Annotated[str, Field(min_length=1)], str]
"""Every occurrence of the first string becomes the second; both are taken as they stand."""
TextRule = Replacement | Literal["one_space", "strip"]
"""A replacement; one_space: every run of white space is one space; strip: no white space at the ends."""

FIELD_MARK = "xxfld"
"""fastai's mark. It is a word of the text; released vocabularies have a piece for it."""


def with_rules(text: str, rules: Sequence[TextRule]) -> str:
    """Return the text after each rule, in their order."""
    for rule in rules:
        if rule == "one_space":
            text = " ".join(text.split())
        elif rule == "strip":
            text = text.strip()
        else:
            text = text.replace(rule[0], rule[1])
    return text


def composed(text: str) -> str:
    """Return a text as data sets hold it: in NFC, with plain line ends and spaces."""
    return unicodedata.normalize("NFC", plain_white_space(text))


def joined_fields(fields: Sequence[str], marks: bool) -> str:
    """Return the fields of a text with a space between them; the empty string if all of them are empty.

    With `marks` each begins with xxfld and its number from 1, as in fastai: `xxfld 1 title xxfld 2 body`.
    """
    if not any(field.strip() for field in fields):
        return ""
    if marks:
        fields = [f"{FIELD_MARK} {number} {field}" for number, field in enumerate(fields, 1)]
    return " ".join(field for field in fields if field)
