"""Languages by code or name: script, Wikipedia, rule of capitals. Names and scripts are langcodes'."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from ulmfit.pipeline.errors import InputError
from ulmfit.tokens.casing import DOTLESS_I_LANGUAGES, OTHER_CODES

WIKIPEDIAS: Final = {
    "nb": "no",
    "gsw": "als",
    "sgs": "bat-smg",
    "vro": "fiu-vro",
    "rup": "roa-rup",
    "lzh": "zh-classical",
    "nan": "zh-min-nan",
    "yue": "zh-yue",
    "cbk": "cbk-zam",
}
"""Codes of Wikipedias that are not those of their languages; of all others they are the same."""
SCRIPT_NAMES: Final = {
    "Hans": "Han",
    "Hant": "Han",
    "Hani": "Han",
    "Jpan": "Han and kana",
    "Kore": "Hangul",
    "Hang": "Hangul",
}
"""Codes of scripts that langcodes names by what tells them from others."""
WITH_CAPITALS: Final = frozenset({"Latn", "Cyrl", "Grek", "Armn", "Copt", "Cher", "Adlm", "Osge"})
CASINGS: Final = {
    **dict.fromkeys(DOTLESS_I_LANGUAGES, "I is the capital of ı, and İ that of i"),
    "lt": "an accented i with its dot, of dictionaries, is kept as it is",
    "de": "ß has no capital in use: STRASSE is not taken for Straße",
}
CODE_PAGES: Final = {
    **dict.fromkeys(("pl", "cs", "sk", "hu", "hr", "sl", "bs", "sq", "ro", "hsb", "dsb"), "cp1250"),
    **dict.fromkeys(("tr", "az", "ku"), "cp1254"),
    **dict.fromkeys(("et", "lv", "lt", "ltg"), "cp1257"),
    **dict.fromkeys(("he", "yi"), "cp1255"),
    "vi": "cp1258",
    "th": "cp874",
    "ja": "cp932",
    "ko": "cp949",
    "zh": "gb18030",
}
"""Encodings of old files in a language; of the others that of their script."""
SCRIPT_CODE_PAGES: Final = {"Cyrl": "cp1251", "Grek": "cp1253", "Arab": "cp1256", "Latn": "cp1252"}


@dataclass(frozen=True)
class Language:
    """What is known of a language."""

    code: str
    name: str
    script: str
    wikipedia: str
    """Code as in xx.wikipedia.org."""
    casing: str
    """The rule of capitals that its code brings; none: it has none of its own."""
    code_page: str
    """Encoding to try where a file is not UTF-8; empty: none is known."""


def language_of(text: str) -> Language:
    """Return the language that a code or a name, in English or its own language, stands for.

    Raises InputError with near names for a language that nobody knows.
    """
    import langcodes

    try:
        found = langcodes.get(text) if langcodes.tag_is_valid(text) else langcodes.find(text)
    except (LookupError, ValueError) as error:
        raise _unknown(text) from error
    code = OTHER_CODES.get(found.language or "", found.language or "")
    name = found.language_name("en")
    if not code or name.startswith("Unknown language"):
        raise _unknown(text)
    script = found.maximize().script or "Latn"
    plain = langcodes.Language.make(script=script).script_name("en")
    return Language(
        code=code,
        name=name,
        script=SCRIPT_NAMES.get(script, plain),
        wikipedia=WIKIPEDIAS.get(code, code),
        casing=CASINGS.get(code, "none" if script in WITH_CAPITALS else "no capitals"),
        code_page=CODE_PAGES.get(code, SCRIPT_CODE_PAGES.get(script, "")),
    )


def _unknown(text: str) -> InputError:
    # Codes are too short to be near to a name.
    near = get_close_matches(text.casefold(), names := _names(), n=3) if len(text) > 3 else []
    hint = " or ".join(f"{names[one]}" for one in near)
    advice = f"did you mean {hint}?" if near else "expected a code such as fi, or a name such as Finnish"
    return InputError(f"language {text!r} is not known: {advice}")


def _names() -> dict[str, str]:
    """Return codes and English names in small letters, each with a line that shows both."""
    import langcodes
    from language_data.population_data import LANGUAGE_SPEAKING_POPULATION

    names = {}
    for code in LANGUAGE_SPEAKING_POPULATION:
        if "-" not in code and not (name := langcodes.get(code).language_name("en")).startswith("Unknown"):
            names[name.casefold()] = f"{name} ({code})"
    return names
