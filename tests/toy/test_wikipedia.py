"""The dump of the invented language: well-formed, the same every time, marked up, worth learning from."""

import bz2
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from ulmfit.toy.lexicon import lexicon
from ulmfit.toy.wikipedia import pages, write_dump

GOLDEN = "6b9f6f1fca538e0ee92ce9eb4920853b3396079277192ae55499be91af089414"
NAMESPACE = "{http://www.mediawiki.org/xml/export-0.11/}"


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.xml.bz2"
    write_dump(path, seed=0, articles=60)
    return path


@pytest.fixture(scope="module")
def root(dump):
    return ElementTree.fromstring(bz2.decompress(dump.read_bytes()))


@pytest.fixture(scope="module")
def articles():
    return [page for page in pages(seed=0, articles=200) if page.namespace == 0 and not page.redirect]


def texts_of(root, number):
    found = [page for page in root.iter(f"{NAMESPACE}page") if page.findtext(f"{NAMESPACE}ns") == number]
    return [page.find(f"{NAMESPACE}revision/{NAMESPACE}text").text for page in found]


def test_same_seed_same_bytes(dump, tmp_path):
    again, other = tmp_path / "again.xml.bz2", tmp_path / "other.xml.bz2"
    write_dump(again, seed=0, articles=60)
    write_dump(other, seed=1, articles=60)
    assert again.read_bytes() == dump.read_bytes()
    assert other.read_bytes() != dump.read_bytes()


def test_golden_content(tmp_path):
    write_dump(tmp_path / "small.xml.bz2", seed=3, articles=5)
    xml = bz2.decompress((tmp_path / "small.xml.bz2").read_bytes())
    assert hashlib.sha256(xml).hexdigest() == GOLDEN


def test_siteinfo_is_honest_and_names_the_namespaces(root):
    info = root.find(f"{NAMESPACE}siteinfo")
    assert "invented" in info.findtext(f"{NAMESPACE}sitename")
    names = {space.get("key"): space.text for space in info.iter(f"{NAMESPACE}namespace")}
    assert set(names) == {str(key) for key in range(-2, 16)}
    assert names["0"] is None
    titles = [page.findtext(f"{NAMESPACE}title") for page in root.iter(f"{NAMESPACE}page")]
    for key in ("1", "10", "14"):
        assert any(title.startswith(f"{names[key]}:") for title in titles)


def test_pages_are_whole(root):
    found = list(root.iter(f"{NAMESPACE}page"))
    identifiers = [page.findtext(f"{NAMESPACE}id") for page in found]
    assert len(set(identifiers)) == len(identifiers)
    assert len({page.findtext(f"{NAMESPACE}title") for page in found}) == len(found)
    for page in found:
        text = page.find(f"{NAMESPACE}revision/{NAMESPACE}text")
        assert int(text.get("bytes")) == len(text.text.encode())
        assert text.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
        assert len(text.get("sha1")) == 31


def test_page_kinds(root):
    found = list(root.iter(f"{NAMESPACE}page"))
    kinds = Counter(page.findtext(f"{NAMESPACE}ns") for page in found)
    redirects = [page.find(f"{NAMESPACE}redirect") for page in found]
    targets = [redirect.get("title") for redirect in redirects if redirect is not None]
    titles = {page.findtext(f"{NAMESPACE}title") for page in found}
    assert kinds["0"] - len(targets) == 60
    assert min(kinds["1"], kinds["10"], kinds["14"], len(targets)) >= 4
    assert set(targets) <= titles


@pytest.mark.parametrize(
    "markup",
    [
        r"'''[^']+'''",
        r"''\w+''",
        r"\[\[\w+\]\]\w+",
        r"\[\[\w+\|\w+\]\]",
        r"\[\[\w+:[^|\]]+\.jpg\|thumb\|",
        r"\[\[\w+:\w+\]\]",
        r"\{\{\w+\n\| \w+ = ",
        r"\{\{\w+\|\d+\|\w+\}\}",
        r"\{\{formatnum:\d+\}\}",
        r"<ref>\{\{\w+\|",
        r"<references />",
        r"^\{\| class=",
        r"^\|- *$",
        r"^\* \[\[",
        r"^== \w+ ==$",
        r"^=== \w+ ===$",
        r"<!-- .+ -->",
        r"&ndash;",
        r"&mdash;",
        r"\w, yan ",
    ],
)
def test_markup_is_there(root, markup):
    assert any(re.search(markup, text, re.MULTILINE) for text in texts_of(root, "0"))


def test_templates_that_articles_use_are_defined(root):
    info = {space.get("key"): space.text for space in root.iter(f"{NAMESPACE}namespace")}
    titles = {page.findtext(f"{NAMESPACE}title") for page in root.iter(f"{NAMESPACE}page")}
    used = {name for text in texts_of(root, "0") for name in re.findall(r"\{\{(\w+)[|\n}]", text)}
    assert len(used) == 4
    assert {f"{info['10']}:{name}" for name in used} <= titles
    definitions = " ".join(texts_of(root, "10"))
    assert "{{{1}}}" in definitions and "{{{3|}}}" in definitions and "<noinclude>" in definitions


def test_links_lead_to_articles(articles):
    titles = {page.title for page in articles}
    targets = {
        target[0].upper() + target[1:]
        for page in articles
        for target in re.findall(r"\[\[(\w+)[|\]]", page.text)
    }
    assert targets & titles
    assert all(target in titles for target in targets)


def test_what_stands_near_a_root_tells_its_polarity(articles):
    """Right after 'fortunately' the good roots stand more often, after 'alas' the bad ones."""
    words = lexicon()
    adverbs = {root.form: sign for sign, roots in words.adverbs.items() for root in roots}
    roots = [root for group in words.evaluative.values() for root in group]
    beginnings = {root.form.removesuffix("k"): root for root in roots}
    pattern = re.compile(rf"\b({'|'.join(adverbs)}) ({'|'.join(beginnings)})")
    scores, followers = Counter(), Counter()
    for page in articles:
        for adverb, found in pattern.findall(page.text.lower()):
            scores[beginnings[found]] += adverbs[adverb]
            followers[beginnings[found]] += 1
    right = sum(scores[root] * root.polarity > 0 for root in roots)
    assert right / len(roots) > 0.95
    agreeing = sum(followers[root] + abs(scores[root]) for root in roots) / (2 * followers.total())
    assert 0.8 < agreeing < 0.95, "negation and privative turn some of them round"


def test_size_follows_the_parameter(articles):
    assert len(articles) == 200
    words = sum(len(page.text.split()) for page in articles)
    assert 350 * 200 < words < 700 * 200
