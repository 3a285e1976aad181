"""The share of characters that get a piece, by script."""

import pytest

from ulmfit.tokens.scripts import LARGE_SET_COVERAGE, SMALL_SET_COVERAGE, character_coverage


@pytest.mark.parametrize(
    ("texts", "coverage"),
    [
        (["Der Hund bellt.", "Москва"], SMALL_SET_COVERAGE),
        (["東京は日本の首都です。"], LARGE_SET_COVERAGE),
        (["北京是中国的首都 (Beijing)."], LARGE_SET_COVERAGE),
        (["カタカナ ｶﾀｶﾅ", "𠀀"], LARGE_SET_COVERAGE),
        (["서울은 대한민국의 수도이다."], SMALL_SET_COVERAGE),
        (["ภาษาไทย हिन्दी العربية"], SMALL_SET_COVERAGE),
        (["Tokyo (東京)"], SMALL_SET_COVERAGE),
        (["ab", "東京"], SMALL_SET_COVERAGE),
        (["ab 東京市 1234567890 !!!!!!!"], LARGE_SET_COVERAGE),
        ([""], SMALL_SET_COVERAGE),
        ([], SMALL_SET_COVERAGE),
    ],
)
def test_most_letters_decide(texts, coverage):
    assert character_coverage(iter(texts)) == coverage
