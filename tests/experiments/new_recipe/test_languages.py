"""Languages by code or name, and what is known of them."""

from __future__ import annotations

import pytest

from ulmfit.experiments.new_recipe.languages import Language, language_of
from ulmfit.experiments.recipe import load_recipe
from ulmfit.experiments.recipe_index import recipe_files
from ulmfit.experiments.recipe_settings import CAME_ALONG
from ulmfit.pipeline.errors import InputError

WIKIPEDIAS = [path.parent.name for path in recipe_files(CAME_ALONG[1]) if path.stem == "wikipedia"]


@pytest.mark.parametrize("text", ["fi", "FI", "fin", "fi-FI", "Finnish", "suomi"])
def test_a_language_is_found_by_code_and_by_name(text: str) -> None:
    assert language_of(text) == Language("fi", "Finnish", "Latin", "fi", "none", "cp1252")


def test_codes_of_wikipedias_may_be_other_ones() -> None:
    assert {code: language_of(code).wikipedia for code in ("nb", "gsw", "sr", "ltg")} == {
        "nb": "no",
        "gsw": "als",
        "sr": "sr",
        "ltg": "ltg",
    }
    assert language_of("aze").code == "az"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Finish", r"language 'Finish' is not known: did you mean Finnish \(fi\)"),
        ("xx", "language 'xx' is not known: expected a code such as fi, or a name such as Finnish"),
        ("../fi", "is not known"),
        ("", "is not known"),
    ],
)
def test_an_unknown_language_is_told_with_near_names(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        language_of(text)


@pytest.mark.parametrize("code", WIKIPEDIAS)
def test_recipes_of_wikipedias_name_the_same_script_and_casing(code: str) -> None:
    language, recipe = language_of(code), load_recipe(f"{code}/wikipedia")
    assert f": {language.script} script, rule of casing: {language.casing}, " in recipe.notes[0]
