"""A tokenizer folder -> the tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import read_json
from ulmfit.tokens.sentencepiece_tokenizer import SentencePieceTokenizer
from ulmfit.tokens.tokenizer import FORMAT_VERSION, RULES_FILE, Tokenizer
from ulmfit.tokens.words_tokenizer import WordsTokenizer

KINDS: dict[str, type[Tokenizer]] = {one.kind: one for one in (SentencePieceTokenizer, WordsTokenizer)}
"""A new kind of tokenizer is one entry."""


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Read a tokenizer folder; raises InputError if it is missing, altered, or of another version."""
    folder = Path(folder)
    rules = _read_rules(folder)
    kind = rules.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"{folder / RULES_FILE} is of kind {kind!r}: expected {' or '.join(sorted(KINDS))}")
    return KINDS[kind].read(folder, rules)


def _read_rules(folder: Path) -> dict[str, Any]:
    path = folder / RULES_FILE
    try:
        rules = read_json(path)
    except OSError as error:
        raise InputError(
            f"{folder} is no tokenizer folder ({error.strerror or error}): expected {RULES_FILE} in it"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): copy the folder again") from error
    if not isinstance(rules, dict) or "version" not in rules:
        raise InputError(f"{path} is no description of a tokenizer: expected the file that training wrote")
    if rules["version"] != FORMAT_VERSION:
        raise InputError(
            f"{path} has version {rules['version']!r}, this program reads {FORMAT_VERSION}: "
            f"train the tokenizer again"
        )
    return rules
